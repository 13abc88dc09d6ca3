"""A JSON body or a form that is cut, changed or divided is refused, or read as a strict parser reads it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message

from api.http.request_bodies import ClientLeftError, read_json
from api.jobs.json_chunks import chunks_of, read_submission
from api.jobs.multipart_form import FormBody
from shared.arrow_tables import read_ipc
from shared.errors import InvalidInputError, ServiceError
from shared.specs import Row
from shared.tabular.json_bodies import in_utf_8
from shared.tabular.upload_options import read_options
from shared.validation import RowValidator
from tests.unit.gateway_fakes import IRIS

ROWS = 7
NOTES = ["설비", 'a"b\\', "\u2028", "", "x\ny", "😀", "5"]
VALIDATOR = RowValidator(IRIS)


def json_body(*, indent: int | None = None, listed: bool = False) -> bytes:
    values = [[i % 10, 1.5, 2e0, 0.25] for i in range(ROWS)]
    named = [
        dict(zip(IRIS.input_names, row, strict=True)) | {"note": note}
        for row, note in zip(values, NOTES, strict=True)
    ]
    document = {"model": "iris", "tags": ["line-2"], "inputs": values if listed else named}
    document |= {} if listed else {"keep_columns": ["note"]}
    return json.dumps(document, indent=indent, ensure_ascii=indent is not None).encode()


BODIES = {"compact": json_body(), "indented": json_body(indent=1), "listed": json_body(listed=True)}


def rows_of(body: bytes) -> list[Row] | None:
    """The rows of the job; None if the body is refused."""
    try:
        submission = read_submission(in_utf_8(body, b"application/json"))
        chunks = chunks_of(VALIDATOR, submission, chunk_rows=3, chunk_bytes=10_000)
    except ServiceError:
        return None
    rows: list[Row] = [row for chunk in chunks for row in read_ipc(chunk.data).to_pylist()]
    for row in rows:
        assert row.pop("error", None) is None
    return rows


def reference_rows(body: bytes) -> list[Row]:
    """The rows as Python's json module reads them, without the constants that JSON does not have."""

    def refuse(constant: str) -> object:
        raise ValueError(constant)

    document = json.loads(body.decode(), parse_constant=refuse)
    kept = document.get("keep_columns", [])
    return [_row(row) | {f"keep:{name}": row.get(name) for name in kept} for row in document["inputs"]]


def _row(row: Any) -> Row:  # Any: what a parser of JSON returns
    return {
        name: float(row[name] if isinstance(row, dict) else row[place])
        for place, name in enumerate(IRIS.input_names)
    }


def test_the_bodies_in_json_are_read_as_they_were_written() -> None:
    for body in BODIES.values():
        assert rows_of(body) == reference_rows(body)
        assert len(reference_rows(body)) == ROWS


@pytest.mark.parametrize("name", BODIES)
def test_a_body_in_json_that_is_cut_anywhere_is_refused(name: str) -> None:
    body = BODIES[name]
    assert [end for end in range(len(body)) if rows_of(body[:end]) is not None] == []


@pytest.mark.parametrize("name", BODIES)
def test_a_body_in_json_that_goes_on_after_its_end_is_refused(name: str) -> None:
    body = BODIES[name]
    for behind in (b"x", b"\0", b"}", b"{}", b",", body, body[: len(body) // 2]):
        assert rows_of(body + behind) is None
    assert rows_of(body + b" \r\n") == rows_of(body)


@pytest.mark.parametrize("name", BODIES)
def test_a_changed_bit_of_json_is_refused_or_read_as_a_strict_parser_reads_it(name: str) -> None:
    body = BODIES[name]
    for place in range(len(body)):
        for bit in range(8):
            changed = bytearray(body)
            changed[place] ^= 1 << bit
            rows = rows_of(bytes(changed))
            assert rows is None or rows == reference_rows(bytes(changed)), bytes(changed)


@given(
    name=st.sampled_from(sorted(BODIES)),
    place=st.integers(0, 2**20),
    removed=st.integers(0, 3),
    put_in=st.sampled_from([b"", b'"', b",", b"]", b"],[", b"},{", b"\\", b"\n", b"0", b"1,", b":", b"\xff"]),
)
@settings(max_examples=300, deadline=None)
def test_bytes_that_are_lost_or_put_in_are_refused_or_read_as_a_strict_parser_reads_them(
    name: str, place: int, removed: int, put_in: bytes
) -> None:
    body = BODIES[name]
    at = place % len(body)
    changed = body[:at] + put_in + body[at + removed :]
    rows = rows_of(changed)
    assert rows is None or rows == reference_rows(changed), changed


def received(pieces: Iterable[bytes], *, left: bool = False) -> Iterator[Message]:
    for piece in pieces:
        yield {"type": "http.request", "body": piece, "more_body": True}
    yield {"type": "http.disconnect"} if left else {"type": "http.request", "body": b"", "more_body": False}


async def read_in_pieces(messages: Iterator[Message]) -> bytes:
    async def receive() -> Message:
        return next(messages)

    return await read_json({b"content-type": b"application/json"}, receive, 10**6, idle_s=10)


async def test_a_body_in_json_is_the_same_divided_at_every_place() -> None:
    body = BODIES["indented"]
    for place in range(len(body)):
        assert await read_in_pieces(received([body[:place], body[place:]])) == body
        with pytest.raises(ClientLeftError):
            await read_in_pieces(received([body[:place]], left=True))


BOUNDARY = b"b-1"
FILE = b"sepal_length,sepal_width,petal_length,petal_width\r\n" + b"".join(
    b"%d,1,2,3\r\n" % i for i in range(ROWS)
)
FIELDS = [("model", "iris"), ("reference", "로트\r\n--b-\r\n--b-2"), ("tag", "x--b-1")]


def form_body() -> bytes:
    head = b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    fields = b"".join(head % (BOUNDARY, name.encode(), value.encode()) for name, value in FIELDS)
    about = b'Content-Disposition: form-data; name="file"; filename="a.csv"\r\nContent-Type: text/csv'
    return fields + b"--%b\r\n%b\r\n\r\n%b\r\n--%b--\r\n" % (BOUNDARY, about, FILE, BOUNDARY)


FORM = form_body()
Form = tuple[list[tuple[str, str]], bytes]


async def _form(pieces: Iterable[bytes]) -> Form:
    async def parts() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    form = FormBody(BOUNDARY.decode(), parts())
    fields, _ = await form.head()
    read_options(fields)
    return list(fields), b"".join([data async for data in form.file()])


def form_of(*pieces: bytes) -> Form | None:
    """The fields and the file; None if the form or one of its fields is refused."""
    try:
        return asyncio.run(_form(pieces))
    except ServiceError:
        return None


def reference_form(body: bytes) -> Form | None:
    """RFC 2046 by a regular expression: the file is the last part."""
    before, *found = re.split(rb"\r\n--%b(\r\n|--)" % re.escape(BOUNDARY), b"\r\n" + body)
    marks, parts = found[::2], found[1::2]
    if before or marks[-1:] != [b"--"] or b"--" in marks[:-1] or parts[-1].strip():
        return None
    heads = [part.partition(b"\r\n\r\n") for part in parts[:-1]]
    names = [re.search(rb'(?i)^content-disposition:.*\bname="([^"]*)"', head, re.M) for head, _, _ in heads]
    if not heads or not all(blank for _, blank, _ in heads):
        return None
    fields = [
        (name[1].decode() if name else "", value.decode())
        for name, (_, _, value) in zip(names[:-1], heads[:-1], strict=True)
    ]
    return fields, heads[-1][2]


def test_the_form_is_read_as_it_was_written() -> None:
    assert form_of(FORM) == reference_form(FORM) == (FIELDS, FILE)


def test_a_form_that_is_cut_anywhere_is_refused() -> None:
    end = len(FORM) - len(b"\r\n")  # nothing is lost with the last line end
    assert [cut for cut in range(end) if form_of(FORM[:cut]) is not None] == []
    assert form_of(FORM[:end]) == (FIELDS, FILE)


def test_a_form_that_goes_on_after_its_end_is_refused() -> None:
    for behind in (b"x", b"\0", FORM, FORM[: len(FORM) // 2], b"--b-1--"):
        assert form_of(FORM + behind) is None


def test_a_form_is_the_same_divided_at_every_place() -> None:
    for place in range(len(FORM)):
        assert form_of(FORM[:place], FORM[place:]) == (FIELDS, FILE), place
    assert form_of(*(FORM[i : i + 1] for i in range(len(FORM)))) == (FIELDS, FILE)


def test_a_changed_bit_of_a_form_is_refused_or_read_as_a_strict_parser_reads_it() -> None:
    for place in range(len(FORM)):
        for bit in (0, 2, 5, 7):
            changed = bytearray(FORM)
            changed[place] ^= 1 << bit
            form = form_of(bytes(changed))
            assert form is None or form == reference_form(bytes(changed)), (place, bit, bytes(changed))


def test_a_form_that_is_cut_within_its_file_names_the_missing_boundary() -> None:
    with pytest.raises(InvalidInputError, match="last boundary is missing"):
        asyncio.run(_form([FORM[: FORM.index(FILE) + 60]]))
