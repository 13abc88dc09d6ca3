"""Problems of a request's values, as a 422 lists them: which row, field and place, and why.

Their number and texts are bounded, because they repeat parts of the request.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from shared.safe_texts import MOST_NAME_CHARS, bounded

MOST_PROBLEMS = 50
"""Limit of the problems listed in an answer; further problems are only counted."""
_MOST_PROBLEM_CHARS = 500
_MOST_PROBLEMS_BYTES = 32 * 2**10
_MOST_PLACES = 16


class InputProblem(dict[str, object]):
    """A problem of a value: `row`, `field`, `msg`, `type`, and `loc` as in Pydantic's errors."""


def bounded_problems(problems: Iterable[InputProblem]) -> list[InputProblem]:
    """The first problems, with bounded texts: at most MOST_PROBLEMS, and about 32 KiB as JSON."""
    kept: list[InputProblem] = []
    left_bytes = _MOST_PROBLEMS_BYTES
    for problem in problems:
        short = InputProblem({key: _bounded_value(key, value) for key, value in problem.items()})
        left_bytes -= len(msgspec.json.encode(short))
        if len(kept) == MOST_PROBLEMS or (kept and left_bytes < 0):
            break
        kept.append(short)
    return kept


def _bounded_value(key: str, value: object) -> object:
    if isinstance(value, str):
        return bounded(value, _MOST_PROBLEM_CHARS if key == "msg" else MOST_NAME_CHARS)
    if isinstance(value, list):
        return [_bounded_value("", item) for item in value[:_MOST_PLACES]]
    return value
