"""Why the columns of a file are not those that a model needs: the likely reason, for its sender."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.texts import MOST_NAMES, alike, first_of, named

_DELIMITERS = {",": ",", ";": ";", "\t": "tab", "|": "|"}
"""What separates cells, and how a client writes it as `delimiter`."""
_MOST_LOOKED_AT = 1000
"""Of the columns: enough to know what they are."""


@dataclass(frozen=True)
class Head:
    """The beginning of a text file, as far as it says how the file is written."""

    delimiter: str
    one_line: bool
    """Whether there is no line break in it, to its end."""


def why_missing(missing: Sequence[str], found: Sequence[str], head: Head | None = None) -> str:
    """The columns that were found, and the likely reason why those are missing. `head`: of CSV."""
    shown = f"Found: {first_of(found, MOST_NAMES)}."
    looked_at = [*map(str, found[:_MOST_LOOKED_AT])]
    reason = _of_text(missing, looked_at, head) if head is not None else ""
    reason = reason or _of_names(missing, looked_at)
    return f"{shown} {reason}" if reason else shown


def _of_text(missing: Sequence[str], found: Sequence[str], head: Head) -> str:
    if (delimiter := _other_delimiter(missing, found, head.delimiter)) is not None:
        said = _DELIMITERS[delimiter]
        return f"The delimiter seems to be {named(said)}, not {named(head.delimiter)}: send delimiter={said}."
    if head.one_line and len(found) > 1:
        return "The body has no line break: curl -d removes them, so send a file with --data-binary."
    if found and sum(map(_is_value, found)) * 2 > len(found):
        return "The first line holds values: CSV must begin with a header line that names the columns."
    return ""


def _of_names(missing: Sequence[str], found: Sequence[str]) -> str:
    forms = {alike(name) for name in found}
    if missing and any(alike(name) in forms for name in missing[:_MOST_LOOKED_AT]):
        return (
            "Names must be written exactly as the model has them: they differ in case, blanks or underscores."
        )
    return ""


def _other_delimiter(missing: Sequence[str], found: Sequence[str], given: str) -> str | None:
    """The delimiter by which the header holds most of what is missing."""
    wanted = {alike(name) for name in missing[:_MOST_LOOKED_AT]}
    line = given.join(found)
    for delimiter in _DELIMITERS:
        cells = {alike(cell.strip(" \"'")) for cell in line.split(delimiter)}
        if delimiter != given and delimiter in line and len(wanted & cells) * 2 >= len(wanted):
            return delimiter
    return None


def _is_value(cell: str) -> bool:
    """Whether a cell of a header is a number, which no column is called."""
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True
