"""Matches the columns of a file to the inputs of a model, and makes the error for missing columns.

Columns are matched by name, in any order; other columns are ignored. A column holds an input if its header is
one of the input's names, up to spelling (`shared.field_names.spelled`). Every input needs a column, even a
nullable input, because a misspelt header would otherwise become missing values. A tensor is read from a
column of lists, or from a column per value: `name_0`, `name_1`, …
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.errors import InvalidInputError
from shared.field_names import spelled
from shared.input_problems import MOST_PROBLEMS, InputProblem
from shared.input_specs import InputSpec
from shared.safe_texts import MOST_NAMES, did_you_mean, first_of, named
from shared.specs import ModelSpec
from shared.tabular.missing_columns import Head, why_missing


@dataclass(frozen=True)
class ColumnMatching:
    """Column names: of each input, or of each value of a tensor."""

    inputs: tuple[tuple[str, ...], ...]
    kept: tuple[str, ...]
    ignored: tuple[str, ...]

    @property
    def wanted(self) -> list[str]:
        """Every column to read, without duplicates."""
        return list(dict.fromkeys([*(name for names in self.inputs for name in names), *self.kept]))


@dataclass(frozen=True)
class _Match:
    """A column to read: its input or kept name, its name in messages, and the columns that have this name.

    There is exactly 1 such column, unless the file is invalid.
    """

    field: str
    shown: str
    found: Sequence[str]

    @property
    def column(self) -> str:
        return self.found[0]


class _Headers:
    """The columns of a file, found by any spelling of their names."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns
        self._by_spelling: dict[str, list[str]] = {}
        for column in columns:
            self._by_spelling.setdefault(spelled(column), []).append(column)

    def of(self, names: Sequence[str]) -> list[str]:
        """All columns with any of the names."""
        spellings = dict.fromkeys(map(spelled, names))
        return [column for spelling in spellings for column in self._by_spelling.get(spelling, ())]


def match_columns(
    spec: ModelSpec, columns: Sequence[str], kept: Sequence[str], *, text: bool, head: Head | None = None
) -> ColumnMatching:
    """Returns the matching columns. `text`: cells are text (CSV), so that a tensor needs a column per value.

    Raises InvalidInputError, which lists missing and duplicate columns, the found columns and the likely
    cause.
    """
    headers = _Headers(columns)
    inputs = [_matches(field, headers, text=text) for field in spec.inputs]
    aside = [_kept(name, spec, headers) for name in kept]
    if any(len(match.found) != 1 for match in (*(one for each in inputs for one in each), *aside)):
        raise _refusal(inputs, aside, columns, head)
    layout = ColumnMatching(
        tuple(tuple(match.column for match in each) for each in inputs),
        tuple(match.column for match in aside),
        ignored=(),
    )
    wanted = set(layout.wanted)
    return replace(layout, ignored=tuple(name for name in columns if name not in wanted))


def _matches(field: InputSpec, headers: _Headers, *, text: bool) -> list[_Match]:
    whole = headers.of(field.names)
    if not field.shape or field.is_sequence or (whole and not text):
        return [_Match(field.name, field.column_name, whole)]
    return [
        _Match(
            field.name,
            f"{field.column_name}_{place}",
            headers.of([f"{name}_{place}" for name in field.names]),
        )
        for place in range(field.size)
    ]


def _kept(name: str, spec: ModelSpec, headers: _Headers) -> _Match:
    """The column of exactly this name, else of this spelling, else of the input with this name."""
    same = [column for column in headers.columns if column == name]
    field = spec.input_of_column(name)
    return _Match(name, name, same or headers.of([name]) or (headers.of(field.names) if field else []))


def _refusal(
    inputs: Sequence[Sequence[_Match]], kept: Sequence[_Match], columns: Sequence[str], head: Head | None
) -> InvalidInputError:
    """Returns an error with a sentence per problem; the first also lists the found columns."""
    found: list[InputProblem] = []
    for matches in inputs:
        if len(matches) > 1 and not any(match.found for match in matches):
            shown = f"columns {named(matches[0].shown)} … {named(matches[-1].shown)} are missing."
            found.append(_problem(matches[0].field, matches[0].field, shown))
        else:
            found += [_of_column(match, columns) for match in matches if len(match.found) != 1]
    taken = {match.shown for matches in inputs for match in matches}
    found += [
        _of_column(match, columns) for match in kept if len(match.found) != 1 and match.shown not in taken
    ]
    missing = [match.shown for match in (*(one for each in inputs for one in each), *kept) if not match.found]
    why = why_missing(missing, columns, head)
    shown_first = [str(problem["msg"]) for problem in found[:MOST_PROBLEMS]]
    found[0] = InputProblem(**found[0] | {"msg": f"{shown_first[0]} {why}"})
    more = f" and {len(found) - len(shown_first)} more" if len(found) > len(shown_first) else ""
    return InvalidInputError(f"{why} {' '.join(shown_first)}{more}", problems=found)


def _of_column(match: _Match, columns: Sequence[str]) -> InputProblem:
    if not match.found:
        near = did_you_mean(match.shown, columns) if len(columns) <= MOST_NAMES * 10 else ""
        return _problem(match.field, match.shown, f"column {named(match.shown)} is missing.{near}")
    if len(set(match.found)) == 1:
        return _problem(match.field, match.found[0], f"duplicate column {named(match.found[0])}.")
    reason = f"several columns are {named(match.field)}: {first_of(match.found)}."
    return _problem(match.field, match.found[1], reason)


def _problem(field: str, column: str, reason: str) -> InputProblem:
    return InputProblem(row=None, field=field, loc=[column], msg=reason, type="column")
