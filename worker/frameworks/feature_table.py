"""A call's columns as the table that a model takes: its inputs in its order, as an array or a DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from shared.columns import Array, Columns
from shared.errors import ArtifactError
from shared.input_specs import InputType
from shared.safe_texts import first_of
from shared.specs import ModelSpec
from worker.predictors.estimator_input import made_up_names
from worker.predictors.scikit_learn import as_frame

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = (InputType.FLOAT, InputType.FLOAT32, InputType.INT64, InputType.BOOL)


class FeatureTable:
    """The inputs of a model in its order. `columns`: their names in the model."""

    def __init__(self, spec: ModelSpec, names: Sequence[str] | None, count: int) -> None:
        """`names`: of the model's features, if it has any; `count`: their number.

        Raises ArtifactError if the spec declares other inputs.
        """
        own = _own_names(spec, list(names or ()))
        self.columns = own or spec.column_names
        self.features = [_input_of(spec, name) for name in own] if own else spec.input_names
        self._tensor = len(spec.inputs) == 1 and len(spec.inputs[0].shape) == 1
        declared = spec.inputs[0].size if self._tensor else len(self.features)
        if declared != count:
            raise ArtifactError(
                f"the model was trained with {count} features{_shown(names)}, and model.toml declares "
                f"{declared}: declare an input for each feature, in the order of the training"
            )
        wrong = [i.name for i in spec.inputs if i.shape and not self._tensor]
        if wrong:
            raise ArtifactError(f"input {wrong[0]!r} is a tensor, and the model takes a table of values")
        kept = [i for i in spec.inputs if i.name in self.features]
        self.is_numeric = all(i.type in _NUMBERS for i in kept)
        self._texts = {i.column_name for i in kept if i.type is InputType.STRING}

    def array(self, columns: Columns) -> Array:
        """Numbers as (rows, features) in C order: float32 if all inputs are, else float64. NaN is missing."""
        parts = [columns[name] for name in self.features]
        if self._tensor:
            return np.ascontiguousarray(parts[0])
        kind = np.float32 if all(part.dtype == np.float32 for part in parts) else np.float64
        rows = np.empty((len(parts[0]), len(parts)), dtype=kind)
        for number, part in enumerate(parts):
            rows[:, number] = part
        return rows

    def frame(self, columns: Columns) -> pd.DataFrame:
        """A DataFrame with the model's names; texts are categories, as boosters take them."""
        frame = as_frame(columns, self.features, self.columns)
        return frame.astype(dict.fromkeys(self._texts, "category")) if self._texts else frame


def _own_names(spec: ModelSpec, names: list[str]) -> list[str] | None:
    """The names, unless a library generated them for an array without names."""
    generated = made_up_names(names, [""] * len(names)) and not set(names) & set(spec.column_names)
    return names if names and not generated else None


def _input_of(spec: ModelSpec, column: str) -> str:
    found = next((i for i in spec.inputs if i.column_name == column), None) or spec.input_of_column(column)
    if found is None:
        raise ArtifactError(
            f"the model was trained with {column!r}, which is no input of model.toml: declare it, with "
            f"column = {column!r} if its name for clients differs"
        )
    return found.name


def _shown(names: Sequence[str] | None) -> str:
    return f" ({first_of(list(names), 6)})" if names else ""
