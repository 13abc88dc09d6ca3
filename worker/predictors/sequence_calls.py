"""Calls of a model with sequences of different lengths: filled to a length, or a call for each length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from shared.columns import Array, Columns, row_count
from shared.input_specs import InputSpec
from shared.specs import ModelSpec
from worker.predictors.separate_labels import joined


class SequenceCalls:
    """Calls a runtime with an array for each sequence input: (rows, steps, *shape)."""

    def __init__(self, spec: ModelSpec) -> None:
        sequences = [field for field in spec.inputs if field.is_sequence]
        self._filled = [field for field in sequences if field.pad is not None]
        self._exact = [field.name for field in sequences if field.pad is None]

    def run(self, columns: Columns, call: Callable[[Columns], Any]) -> Any:  # Any: as the runtime answers
        """The answer of `call` to all rows, in their order."""
        columns = columns | {field.name: _filled(field, columns[field.name]) for field in self._filled}
        groups = self._groups(columns)
        answers: list[Any] = [call(self._rows(columns, group)) for group in groups]
        if len(groups) == 1:
            return answers[0]
        back = np.argsort(np.concatenate(groups))
        if isinstance(answers[0], dict):
            return {name: _whole([answer[name] for answer in answers], back) for name in answers[0]}
        return _whole(answers, back)

    def _groups(self, columns: Columns) -> Sequence[Array]:
        """The rows of each combination of lengths, the shortest first."""
        if not self._exact:
            return [np.arange(row_count(columns))]
        lengths = np.array([[len(steps) for steps in columns[name]] for name in self._exact])
        _, group_of_row = np.unique(lengths, axis=1, return_inverse=True)
        return [np.flatnonzero(group_of_row == group) for group in range(group_of_row.max(initial=0) + 1)]

    def _rows(self, columns: Columns, rows: Array) -> Columns:
        taken = {name: values[rows] for name, values in columns.items()}
        return taken | {name: np.stack(list(taken[name])) for name in self._exact}


def _whole(parts: Sequence[Any], back: Array) -> Any:
    """The parts of an answer as one, its rows in the order `back`; a list has an array for each column."""
    if isinstance(parts[0], list | tuple):
        return [_whole(column, back) for column in zip(*parts, strict=True)]
    whole: Array = joined([np.asarray(part) for part in parts])  # type: ignore[assignment]  # of arrays
    return whole[back]


def _filled(field: InputSpec, sequences: Array) -> Array:
    """All sequences in one array, the shorter sequences filled at the end."""
    longest = max(map(len, sequences), default=0)
    first = sequences[0]
    filled = np.full((len(sequences), longest, *field.shape[1:]), field.pad, dtype=first.dtype)
    for place, steps in enumerate(sequences):
        filled[place, : len(steps)] = steps
    return filled
