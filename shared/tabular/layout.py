"""Which columns of a table feed which inputs of a model.

Columns are found by their names, in any order; those that nothing asks for are ignored. Every input must
have its column, also a nullable one: a header that is misspelt would otherwise be missing values. A tensor
takes one column of lists, or one column for each of its values: `name_0`, `name_1`, …
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import MOST_PROBLEMS, InvalidInput, Problem
from shared.specs import InputSpec, ModelSpec
from shared.tabular.hints import Head, why_missing
from shared.texts import MOST_NAMES, did_you_mean, named


@dataclass(frozen=True)
class Layout:
    """Columns by name: for each input one, or one per value of a tensor."""

    inputs: tuple[tuple[str, ...], ...]
    kept: tuple[str, ...]
    ignored: tuple[str, ...]

    @property
    def wanted(self) -> list[str]:
        """Every column that is read, each once."""
        return list(dict.fromkeys([*(name for names in self.inputs for name in names), *self.kept]))


def lay_out(
    spec: ModelSpec, columns: Sequence[str], kept: Sequence[str], *, text: bool, head: Head | None = None
) -> Layout:
    """`text`: the cells are text (CSV), so that a tensor needs a column per value; `head`: how it is written.

    Raises InvalidInput, naming columns that are missing or stand twice, those that were found, and why.
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
) -> InvalidInput:
    """Every problem in a sentence, the first with what was found."""
    counts = Counter(columns)
    found: list[Problem] = []
    for field, names in inputs:
        if len(names) > 1 and not any(counts[name] for name in names):
            found.append(_problem(field.name, f"columns {named(names[0])} … {named(names[-1])} are missing"))
        else:
            found += [_of_column(name, counts, columns) for name in names if counts[name] != 1]
    taken = {name for _, names in inputs for name in names}
    found += [_of_column(name, counts, columns) for name in kept if counts[name] != 1 and name not in taken]
    missing = [name for _, names in inputs for name in names if not counts[name]]
    why = why_missing([*missing, *(name for name in kept if not counts[name])], columns, head)
    said = [str(problem["msg"]) for problem in found[:MOST_PROBLEMS]]
    found[0] = _problem(str(found[0]["field"]), f"{said[0]} {why}")
    more = f" and {len(found) - len(said)} more" if len(found) > len(said) else ""
    return InvalidInput(f"{why} {' '.join(said)}{more}", problems=found)


def _of_column(name: str, counts: Counter[str], columns: Sequence[str]) -> Problem:
    if counts[name]:
        return _problem(name, f"column {named(name)} stands twice.")
    near = did_you_mean(name, columns) if len(columns) <= MOST_NAMES * 10 else ""
    return _problem(name, f"column {named(name)} is missing.{near}")


def _problem(column: str, reason: str) -> Problem:
    return Problem(row=None, field=column, loc=[column], msg=reason, type="column")
