"""The mapping of a table's columns to a model's inputs.

Columns are matched by name, in any order; other columns are ignored. Every input needs a column, even a
nullable input, because a misspelt header would otherwise become missing values. A tensor is read from a
column of lists, or from a column per value: `name_0`, `name_1`, …
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import MOST_PROBLEMS, InputProblem, InvalidInputError
from shared.specs import InputSpec, ModelSpec
from shared.tabular.hints import Head, why_missing
from shared.texts import MOST_NAMES, did_you_mean, named


@dataclass(frozen=True)
class Layout:
    """Column names: one for each input, or one for each value of a tensor."""

    inputs: tuple[tuple[str, ...], ...]
    kept: tuple[str, ...]
    ignored: tuple[str, ...]

    @property
    def wanted(self) -> list[str]:
        """Every column to read, without duplicates."""
        return list(dict.fromkeys([*(name for names in self.inputs for name in names), *self.kept]))


def lay_out(
    spec: ModelSpec, columns: Sequence[str], kept: Sequence[str], *, text: bool, head: Head | None = None
) -> Layout:
    """Returns the layout. `text`: cells are text (CSV), so that a tensor needs a column per value.

    Raises InvalidInputError, which lists missing and duplicate columns, the found columns and the likely
    cause.
    """
    inputs = tuple(_columns_of(field, columns, text=text) for field in spec.inputs)
    asked = [*(name for names in inputs for name in names), *kept]
    counts = Counter(columns)
    if any(counts[name] != 1 for name in asked):
        raise _refusal(list(zip(spec.inputs, inputs, strict=True)), kept, columns, head)
    wanted = set(asked)
    return Layout(inputs, tuple(kept), tuple(name for name in columns if name not in wanted))


def _columns_of(field: InputSpec, columns: Sequence[str], *, text: bool) -> tuple[str, ...]:
    if not field.shape or (field.name in columns and not text):
        return (field.name,)
    return tuple(f"{field.name}_{place}" for place in range(field.size))


def _refusal(
    inputs: Sequence[tuple[InputSpec, Sequence[str]]],
    kept: Sequence[str],
    columns: Sequence[str],
    head: Head | None,
) -> InvalidInputError:
    """Returns an error with a sentence per problem; the first also lists the found columns."""
    counts = Counter(columns)
    found: list[InputProblem] = []
    for field, names in inputs:
        if len(names) > 1 and not any(counts[name] for name in names):
            found.append(_problem(field.name, f"columns {named(names[0])} … {named(names[-1])} are missing"))
        else:
            found += [_of_column(name, counts, columns) for name in names if counts[name] != 1]
    taken = {name for _, names in inputs for name in names}
    found += [_of_column(name, counts, columns) for name in kept if counts[name] != 1 and name not in taken]
    missing = [name for _, names in inputs for name in names if not counts[name]]
    why = why_missing([*missing, *(name for name in kept if not counts[name])], columns, head)
    shown = [str(problem["msg"]) for problem in found[:MOST_PROBLEMS]]
    found[0] = _problem(str(found[0]["field"]), f"{shown[0]} {why}")
    more = f" and {len(found) - len(shown)} more" if len(found) > len(shown) else ""
    return InvalidInputError(f"{why} {' '.join(shown)}{more}", problems=found)


def _of_column(name: str, counts: Counter[str], columns: Sequence[str]) -> InputProblem:
    if counts[name]:
        return _problem(name, f"duplicate column {named(name)}.")
    near = did_you_mean(name, columns) if len(columns) <= MOST_NAMES * 10 else ""
    return _problem(name, f"column {named(name)} is missing.{near}")


def _problem(column: str, reason: str) -> InputProblem:
    return InputProblem(row=None, field=column, loc=[column], msg=reason, type="column")
