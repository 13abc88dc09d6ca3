"""Seeded malformed requests: bodies that are wide, deep, long, full of errors, truncated or mislabelled."""

from __future__ import annotations

import gzip
import io
import json
import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pyarrow import parquet

Make = Callable[[random.Random, Sequence[str]], bytes]
"""Returns a body for a model with these inputs."""
_ODD = "\x1b[31mé한\U0001f600\u202e'\"\\,;|\t<&%\x07"
_MODELS = ("iris", "classifier", "quality", "image", "irsi", "x" * 70_000, "../../etc", "")


@dataclass(frozen=True)
class Case:
    """A request."""

    method: str
    path: str
    body: bytes = b""
    params: Sequence[tuple[str, str]] = ()
    headers: dict[str, str] = field(default_factory=dict)


def case(chance: random.Random, inputs: dict[str, list[str]]) -> Case:
    """The next request; `inputs`: of each model."""
    model = chance.choice(_MODELS[:4] if chance.random() < 0.8 else _MODELS)
    names = inputs.get(model, ["a"])
    kind, make = chance.choice(_BODIES)
    body = _damaged(chance, make(chance, names))
    headers = {"content-type": kind}
    if chance.random() < 0.1:
        body, headers["content-encoding"] = (
            gzip.compress(body),
            chance.choice(("gzip", "deflate", "zstd", "br")),
        )
    if kind == "application/json" and chance.random() < 0.6:
        batch = chance.choice(("", "/batch"))
        path = f"/models/{_in_path(model)}/predict{batch}" if model else f"/predict{batch}"
        return Case("POST", path, body, (), headers | _odd_headers(chance))
    if chance.random() < 0.05:
        return Case(
            "GET", f"/{chance.choice(('jobs', 'models', 'scaling'))}/{_in_path(_name(chance))[:9000]}"
        )
    params = [("model", model[:9000])] if kind != "application/json" else []
    return Case("POST", "/jobs", body, [*params, *_params(chance)], headers | _odd_headers(chance))


def _in_path(text: str) -> str:
    return (
        "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in text)[:12_000] or "-"
    )


def _name(chance: random.Random) -> str:
    length = chance.choice((1, 5, 30, 300, 3000, 60_000))
    letters = string.ascii_letters + _ODD
    return "".join(chance.choices(letters, k=min(length, 30))) * max(1, length // 30)


def _names(chance: random.Random, names: Sequence[str]) -> list[str]:
    """Names of inputs: correct, unknown or both, a few or very many."""
    right = list(names[:2000])
    choices: Sequence[Callable[[], list[str]]] = (
        lambda: right,
        lambda: [name.upper() for name in right],
        lambda: [f"col_{n}" for n in range(chance.choice((3, 30, 300, 8000)))],
        lambda: [_name(chance) for _ in range(chance.choice((1, 5, 20)))],
        lambda: [*right, *(f"more_{n}" for n in range(chance.choice((1, 20, 3000))))],
    )
    return chance.choice(choices)()


def _value(chance: random.Random, depth: int = 0) -> Any:  # any JSON
    if depth < 3 and chance.random() < 0.1:
        inner = [_value(chance, depth + 1) for _ in range(chance.randrange(4))]
        return chance.choice((inner, {f"{_ODD}{n}": value for n, value in enumerate(inner)}))
    simple = (None, 1, -1, 2**70, 1e308, 0.1, True, "not a number", "not a number", _ODD * 9)
    large = ("w" * 5000, [0.5] * chance.choice((9, 10, 3000)))
    return chance.choice(simple if chance.random() < 0.95 else large)


def _row(chance: random.Random, names: Sequence[str]) -> Any:
    if chance.random() < 0.2:
        return [_value(chance) for _ in names[:300]]
    return {name: _value(chance) for name in _names(chance, names)[:1000]}


def _json(chance: random.Random, names: Sequence[str]) -> bytes:
    if chance.random() < 0.1:
        depth = chance.choice((10, 1000, 100_000))
        return b'{"inputs":' + b"[" * depth + b"]" * chance.choice((depth, 0))
    rows = [_row(chance, names) for _ in range(chance.choice((0, 1, 1, 3, 3, 60)))]
    fields = {_name(chance): 1 for _ in range(chance.choice((0, 0, 1, 40)))}
    document = {"model": chance.choice(_MODELS[:5]), "inputs": rows} | fields
    if chance.random() < 0.3:
        document |= {"tags": [_name(chance)] * 3, "keep_columns": [_name(chance)], "validate_only": True}
    return json.dumps(chance.choice((document, rows, rows[0] if rows else 1, {"inputs": rows}))).encode()


def _csv(chance: random.Random, names: Sequence[str]) -> bytes:
    delimiter = chance.choice((",", ",", ";", "\t", "|"))
    columns = _names(chance, names)
    lines = [columns] if chance.random() < 0.8 else []
    lines += [
        [str(chance.choice(("1", "x", "", "1,5", "z" * 400))) for _ in columns]
        for _ in range(_rows(chance, columns))
    ]
    end = chance.choice(("\n", "\r\n", "", "\n\n"))
    return end.join(delimiter.join(line) for line in lines).encode("utf-8", "replace")


def _rows(chance: random.Random, columns: Sequence[str]) -> int:
    return chance.choice((0, 1, 30, 300)) if len(columns) < 20 else chance.choice((0, 1, 3))


def _ndjson(chance: random.Random, names: Sequence[str]) -> bytes:
    rows = (json.dumps(_row(chance, names[:200])) for _ in range(chance.choice((1, 5, 40))))
    return chance.choice(("\n", "", "\r\n")).join(rows).encode()


def _table(chance: random.Random, names: Sequence[str]) -> pa.Table:
    columns = [name[:5000] for name in _names(chance, names)[:2000]]
    kinds: list[Any] = [
        [1.5, None],
        ["x", "y" * 500],
        [True, False],
        [b"\xff", b""],
        [[1], [2, 3]],
        [{"a": 1}, None],
    ]
    return pa.table([pa.array(chance.choice(kinds)) for _ in columns], names=columns)


def _parquet(chance: random.Random, names: Sequence[str]) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(_table(chance, names), sink)
    return sink.getvalue()


def _arrow(chance: random.Random, names: Sequence[str], *, file: bool) -> bytes:
    table, sink = _table(chance, names), io.BytesIO()
    with (pa.ipc.new_file if file else pa.ipc.new_stream)(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _noise(chance: random.Random, _: Sequence[str]) -> bytes:
    return chance.randbytes(chance.choice((0, 1, 100, 50_000)))


def _form(chance: random.Random, names: Sequence[str]) -> bytes:
    name, value = _name(chance)[:5000], _name(chance)
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
    file = f'--x\r\nContent-Disposition: form-data; name=f; filename="{name}.csv"\r\n\r\n'
    return (head + file).encode("utf-8", "replace") + _csv(chance, names) + b"\r\n--x--\r\n"


_BODIES: Sequence[tuple[str, Make]] = (
    ("application/json", _json),
    ("application/json", _json),
    ("application/json", _noise),
    ("text/csv", _csv),
    ("text/csv", _csv),
    ("text/csv; charset=cp949", _noise),
    ("application/x-ndjson", _ndjson),
    ("application/vnd.apache.parquet", _parquet),
    ("application/vnd.apache.arrow.stream", lambda chance, names: _arrow(chance, names, file=False)),
    ("application/vnd.apache.arrow.file", lambda chance, names: _arrow(chance, names, file=True)),
    ("multipart/form-data; boundary=x", _form),
    ("application/" + "x" * 30_000, _noise),
)


def _damaged(chance: random.Random, body: bytes) -> bytes:
    match chance.randrange(6):
        case 0:
            return body[: chance.randrange(len(body) + 1)]
        case 1 if body:
            place = chance.randrange(len(body))
            return body[:place] + chance.randbytes(3) + body[place + 3 :]
        case _:
            return body


def _params(chance: random.Random) -> list[tuple[str, str]]:
    said = [
        ("validate_only", "true"),
        ("delimiter", ";"),
        ("keep_columns", _name(chance)[:2000]),
        ("id_column", _name(chance)[:2000]),
        (_name(chance)[:2000], _name(chance)[:2000]),
        ("max_errors", chance.choice(("0", "100%", "x" * 2000))),
        ("charset", _name(chance)[:2000]),
        ("tag", _name(chance)[:2000]),
        ("priority", "x" * 2000),
    ]
    return chance.sample(said, chance.choice((0, 0, 0, 1, 2, 4)))


def _odd_headers(chance: random.Random) -> dict[str, str]:
    odd = {"prefer": "wait=0, " + "x" * 20_000, "idempotency-key": "k" * 3000, "accept": "text/x" * 3000}
    return dict(chance.sample(sorted(odd.items()), chance.choice((0, 0, 0, 1))))
