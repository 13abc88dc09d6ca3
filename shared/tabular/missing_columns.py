"""Hints for missing columns: the likely reason why a file lacks the columns of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.safe_texts import MOST_NAMES, alike, first_of, named

_DELIMITERS = {",": ",", ";": ";", "\t": "tab", "|": "|"}
"""Delimiter → its value in the parameter `delimiter`."""
_MOST_LOOKED_AT = 1000
"""Maximum number of columns that are examined."""


@dataclass(frozen=True)
class Head:
    """Properties of a CSV file, from its beginning."""

    delimiter: str
    one_line: bool
    """Whether the file contains no line break."""


def why_missing(missing: Sequence[str], found: Sequence[str], head: Head | None = None) -> str:
    """Returns the found columns, and the likely reason why the others are missing. `head`: for CSV."""
    shown = f"Found: {first_of(found, MOST_NAMES)}."
    looked_at = [*map(str, found[:_MOST_LOOKED_AT])]
    reason = _of_text(missing, looked_at, head) if head is not None else ""
    reason = reason or _of_names(missing, looked_at)
    return f"{shown} {reason}" if reason else shown


def _of_text(missing: Sequence[str], found: Sequence[str], head: Head) -> str:
    if (delimiter := _other_delimiter(missing, found, head.delimiter)) is not None:
        value = _DELIMITERS[delimiter]
        return (
            f"The delimiter seems to be {named(value)}, not {named(head.delimiter)}: send delimiter={value}."
        )
    if head.one_line and len(found) > 1:
        return "The body has no line break: curl -d removes them, so send a file with --data-binary."
    if found and sum(map(_is_value, found)) * 2 > len(found):
        return "The first line contains values: CSV must begin with a header line of column names."
    return ""


def _of_names(missing: Sequence[str], found: Sequence[str]) -> str:
    forms = {alike(name) for name in found}
    if missing and any(alike(name) in forms for name in missing[:_MOST_LOOKED_AT]):
        return "Names must match the model's exactly: they differ in case, blanks or underscores."
    return ""


def _other_delimiter(missing: Sequence[str], found: Sequence[str], given: str) -> str | None:
    """Returns the delimiter that splits the header into most of the missing names."""
    wanted = {alike(name) for name in missing[:_MOST_LOOKED_AT]}
    line = given.join(found)
    for delimiter in _DELIMITERS:
        cells = {alike(cell.strip(" \"'")) for cell in line.split(delimiter)}
        if delimiter != given and delimiter in line and len(wanted & cells) * 2 >= len(wanted):
            return delimiter
    return None


def _is_value(cell: str) -> bool:
    """Whether a header cell is a number, and so not a column name."""
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True
