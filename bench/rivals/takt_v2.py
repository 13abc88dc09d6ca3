"""Like the rival `takt`, through the Open Inference Protocol, with the requests of the rival `mlserver`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from bench.answers import Answer, read_answer
from bench.rivals.mlserver import RIVAL as MLSERVER
from bench.rivals.takt import RIVAL as TAKT

_PATH = "/v2/models/{model}/infer"


def _answers(body: bytes) -> list[Answer]:
    """Parse the answers of all rows. Raises ValueError."""
    try:
        outputs = {one["name"]: _rows(one) for one in json.loads(body)["outputs"]}
    except (KeyError, TypeError) as error:
        raise ValueError(f"not answers of the V2 protocol: {error!r}") from error
    rows = (dict(zip(outputs, values, strict=True)) for values in zip(*outputs.values(), strict=True))
    return [read_answer(json.dumps(row).encode()) for row in rows]


def _rows(output: dict[str, Any]) -> list[Any]:
    """The values of an output by row: `[rows, 1]` are single values."""
    width, data = output["shape"][1], output["data"]
    if width == 1:
        return list(data)
    return [data[start : start + width] for start in range(0, len(data), width)]


def _first(body: bytes) -> Answer:
    return _answers(body)[0]


RIVAL = replace(
    TAKT,
    name="takt_v2",
    about="takt up through the Open Inference Protocol, JSON both ways",
    path=_PATH,
    many_path=_PATH,
    body=MLSERVER.body,
    answer=_first,
    answers=_answers,
)
