"""Distances between the values of two columns, row by row: the base of the difference of two jobs."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Distances: TypeAlias = NDArray[np.float64]
"""By row: 0 for equal values, the absolute difference of numbers, and infinity for everything else that
differs. Two nulls are equal, and so are two NaN; null counts as NaN. Of a tensor: the largest of its
values."""


def distances(a: pa.Array, b: pa.Array) -> Distances:
    """The distances of two arrays of the same length."""
    if _is_list(a.type) and _is_list(b.type):
        return _of_lists(a, b)
    if is_number(a.type) and is_number(b.type):
        return _of_numbers(a, b)
    if a.type != b.type and not (is_label(a.type) and is_label(b.type)):
        return np.where(_valid(a) | _valid(b), np.inf, 0.0)
    same = pc.fill_null(pc.equal(a, b.cast(a.type)), False).to_numpy(zero_copy_only=False)
    return np.where(same | ~(_valid(a) | _valid(b)), 0.0, np.inf)


def is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def is_label(kind: pa.DataType) -> bool:
    """Whether the values are classes: texts or truth values."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _valid(array: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(pc.is_valid(array).to_numpy(zero_copy_only=False))


def _of_numbers(a: pa.Array, b: pa.Array) -> Distances:
    x, y = (side.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False) for side in (a, b))
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.abs(y - x)
    found[(x == y) | (np.isnan(x) & np.isnan(y))] = 0.0
    found[np.isnan(found)] = np.inf
    if pa.types.is_integer(a.type) and pa.types.is_integer(b.type):  # float64 merges those beyond 2^53
        other = pc.fill_null(pc.not_equal(a, b), False).to_numpy(zero_copy_only=False)
        found[other & (found == 0.0)] = 1.0
    return np.asarray(found, dtype=np.float64)


def _of_lists(a: pa.Array, b: pa.Array) -> Distances:
    found = np.where(_valid(a) | _valid(b), np.inf, 0.0)
    lengths = (pc.fill_null(pc.list_value_length(side), -1) for side in (a, b))
    x, y = (side.to_numpy(zero_copy_only=False) for side in lengths)
    same = (x == y) & (x >= 0)
    if not same.any():
        return found
    rows, counts = pa.array(same), x[same]
    inner = distances(pc.list_flatten(a.filter(rows)), pc.list_flatten(b.filter(rows)))
    largest = np.zeros(len(counts))
    filled = counts > 0
    if filled.any():
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        largest[filled] = np.maximum.reduceat(inner, starts[filled])
    found[same] = largest
    return found
