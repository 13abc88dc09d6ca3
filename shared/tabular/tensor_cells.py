"""Tensor inputs from a table: a column of nested lists, or a column per value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shared.errors import InvalidInputError
from shared.input_specs import InputSpec
from shared.tabular.arrow_types import Family, family_of
from shared.tabular.plain_values import plain, plain_lists

Check: TypeAlias = Callable[[InputSpec, pa.Array], tuple[pa.Array, pa.Array]]
"""Given single values of a tensor, returns them cast, and their errors (null for valid values)."""


def tensor(field: InputSpec, columns: Sequence[pa.Array], check: Check) -> tuple[pa.Array, pa.Array]:
    """Returns a fixed-size list per row, and the errors of invalid rows; their lists are undefined."""
    if len(columns) == 1 and family_of(columns[0].type) in (Family.LIST, Family.TENSOR):
        return _of_lists(field, _lists_of(field, columns[0]), check)
    return _of_columns(field, columns, check)


def _lists_of(field: InputSpec, column: pa.Array) -> pa.Array:
    """Raises InvalidInputError if a column of tensors has another shape or another order of values."""
    kind = column.type
    if family_of(kind) is Family.TENSOR and isinstance(column, pa.ExtensionArray):
        in_order = kind.permutation is None or list(kind.permutation) == sorted(kind.permutation)
        if list(kind.shape) != list(field.shape) or not in_order:
            raise InvalidInputError(
                f"column {field.name!r} holds tensors of shape {list(kind.shape)}"
                f"{'' if in_order else ' in another order'}, but {field.name} has shape {list(field.shape)}."
            )
    return plain_lists(column)


def _of_columns(field: InputSpec, columns: Sequence[pa.Array], check: Check) -> tuple[pa.Array, pa.Array]:
    checked = [check(field, column) for column in columns]
    values = np.stack([_filled(values) for values, _ in checked], axis=1)
    reasons = pc.coalesce(*(reasons for _, reasons in checked))
    return _lists(field, values), reasons


def _of_lists(field: InputSpec, column: pa.Array, check: Check) -> tuple[pa.Array, pa.Array]:
    nested = family_of(column.type.value_type) is Family.LIST
    leaves, shaped = _leaves(column, field.shape if nested else (field.size,))
    values, reasons = check(field, leaves)
    places = np.full(len(column), -1, dtype=np.int64)
    places[shaped] = np.arange(shaped.sum())
    taken = pa.array(places, mask=~shaped)
    whole = pc.take(_lists(field, _filled(values).reshape(-1, field.size)), taken)
    wrong_shape = pa.scalar(f"{field.name}: is not of shape {list(field.shape)}")
    reason = pc.if_else(pa.array(shaped), pc.take(_first_of_each(reasons, field.size), taken), wrong_shape)
    return whole, reason


def _leaves(column: pa.Array, shape: tuple[int, ...]) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Returns the values of the rows with this shape, in order, and a mask of these rows."""
    shaped = _mask(pc.equal(pc.list_value_length(column), shape[0]))
    inner = plain(column.filter(pa.array(shaped)).flatten())
    if len(shape) == 1:
        return inner, shaped
    leaves, inner_shaped = _leaves(inner, shape[1:])
    whole = inner_shaped.reshape(-1, shape[0]).all(axis=1)
    of_whole = np.repeat(np.repeat(whole, shape[0])[inner_shaped], int(np.prod(shape[1:])))
    shaped[shaped] = whole
    return leaves.filter(pa.array(of_whole)), shaped


def _first_of_each(reasons: pa.Array, size: int) -> pa.Array:
    """Returns the first error among the values of each row."""
    given = _mask(pc.is_valid(reasons)).reshape(-1, size)
    first = np.arange(len(given)) * size + given.argmax(axis=1)
    return pc.take(reasons, pa.array(first))


def _lists(field: InputSpec, values: NDArray[np.float64]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), field.size)


def _filled(values: pa.Array) -> NDArray[np.float64]:
    filled: NDArray[np.float64] = pc.fill_null(values, 0).to_numpy(zero_copy_only=False)
    return filled


def _mask(condition: pa.Array) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = pc.fill_null(condition, False).to_numpy(zero_copy_only=False)
    return mask.copy()
