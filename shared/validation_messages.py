"""Messages of validating libraries in terms of JSON, without types of Python or names of libraries."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from shared.safe_texts import did_you_mean, named

_OF_PYTHON = (
    ("a valid dictionary or instance of", "a valid"),
    ("valid dictionary", "valid object"),
    ("valid tuple", "valid list"),
    ("Tuple should", "List should"),
    ("Dictionary should", "Object should"),
    (" after validation", ""),
    ("Extra inputs are not permitted", "Unknown field"),
    ("Value error, ", ""),
    ("Assertion failed, ", ""),
)
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_EXPECTED = re.compile(r"Expected `([^`]+)`(?: of (length))?(?: (>=|<=|>|<|==) (\S+))?(?:, got `([^`]+)`)?$")
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than", "==": "exactly"}
_OF_MSGSPEC: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (
        re.compile(r"Object missing required field `(.*)`"),
        lambda found: f"field {named(found[1])} is missing",
    ),
    (_EXPECTED, lambda found: _expected(*found.groups())),
    (
        re.compile(r"JSON is malformed: (.*) \(byte (\d+)\)"),
        lambda found: f"not JSON: {found[1]} at byte {found[2]}",
    ),
    (re.compile(r"Input data was truncated"), lambda _: "not JSON: it is cut off"),
    (re.compile(r"Invalid UTF-8|'utf-?8' codec"), lambda _: "not JSON: it is not UTF-8"),
)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")


def of_pydantic(message: str, kind: str, field: object = None, known: Iterable[str] = ()) -> str:
    """`kind`: Pydantic's name of the error; `known`: the existing fields."""
    if kind == "extra_forbidden" and field is not None:
        return f"Unknown field {named(field)}.{did_you_mean(str(field), known)}"
    for theirs, ours in _OF_PYTHON:
        message = message.replace(theirs, ours)
    return message


def of_msgspec(message: str, known: Iterable[str] = ()) -> str:
    """`known`: the existing fields."""
    unknown = _UNKNOWN.match(message)
    if unknown is not None:
        return f"unknown field {named(unknown[1])}.{did_you_mean(unknown[1], known)}"
    for pattern, ours in _OF_MSGSPEC:
        found = pattern.match(message)
        if found is not None:
            return ours(found)
    return message


def _expected(kinds: str, length: str | None, bound: str | None, limit: str | None, got: str | None) -> str:
    wanted = " or ".join(_KINDS.get(kind.strip(), kind.strip()) for kind in kinds.split("|"))
    if bound is not None:
        unit = "" if length is None else " items" if "list" in wanted else " characters"
        wanted = f"{wanted} of {_BOUNDS[bound]} {limit}{unit}"
    return f"must be {wanted}" + (f", not {_KINDS.get(got, got)}" if got is not None else "")
