"""Which columns of a table feed which inputs of a model.

Columns are found by their names, in any order; those that nothing asks for are ignored. Every input must
have its column, also a nullable one: a header that is misspelt would otherwise be missing values. A tensor
takes one column of lists, or one column for each of its values: `name_0`, `name_1`, …
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import InvalidInput, Problem
from shared.specs import InputSpec, ModelSpec


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


def lay_out(spec: ModelSpec, columns: Sequence[str], kept: Sequence[str], *, text: bool) -> Layout:
    """`text`: the cells are text (CSV), so that a tensor needs a column per value.

    Raises InvalidInput, naming each column that is missing or stands twice.
    """
    inputs = tuple(_columns_of(field, columns, text=text) for field in spec.inputs)
    asked = [*(name for names in inputs for name in names), *kept]
    counts = Counter(columns)
    problems = [
        _problem(name, f"column {name!r} {'is missing' if not counts[name] else 'stands twice'}")
        for name in dict.fromkeys(asked)
        if counts[name] != 1
    ]
    if problems:
        found = ", ".join(map(repr, columns[:50])) or "none"
        raise InvalidInput(
            f"{'; '.join(str(p['msg']) for p in problems)}. Found: {found}.", problems=problems
        )
    return Layout(inputs, tuple(kept), tuple(name for name in columns if name not in set(asked)))


def _columns_of(field: InputSpec, columns: Sequence[str], *, text: bool) -> tuple[str, ...]:
    if not field.shape or (field.name in columns and not text):
        return (field.name,)
    return tuple(f"{field.name}_{place}" for place in range(field.size))


def _problem(column: str, reason: str) -> Problem:
    return Problem(row=None, field=column, loc=[column], msg=reason, type="column")
