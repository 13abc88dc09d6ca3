"""Rows that reveal differences of a compiled model: golden rows, corners, values near thresholds, random
rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from numpy.random import Generator

from shared.columns import Array, Columns
from shared.input_specs import InputSpec, InputType
from shared.specs import ModelSpec

_SEED = 1
_CORNERS = 256
_THRESHOLDS = 768  # three rows each
_CHANCE = 1024
_MISSING = 0.1
"""Share of missing values of a nullable input."""


def probes(spec: ModelSpec, features: Sequence[str], thresholds: Mapping[int, Array]) -> Columns:
    """Rows of numbers for a model with an estimator that takes `features`, in this order; at most about
    4,000.

    `thresholds`: the decision thresholds of trees, by the number of the feature. All rows lie within the
    ranges of the spec; without ranges, near the thresholds and known rows. The rows are the same each time.
    """
    fields = [next(i for i in spec.inputs if i.name == name) for name in features]
    known = _known_rows(spec, fields)
    low, high = _ranges(fields, known, thresholds)
    rng = np.random.default_rng(_SEED)
    rows = np.concatenate(
        [
            known,
            _corners(low, high, rng),
            _neighbours(low, high, thresholds, rng),
            rng.uniform(low, high, (_CHANCE, len(low))),
        ]
    )
    return _as_columns(fields, np.clip(rows, low, high))


def with_missing(spec: ModelSpec, rows: Columns) -> Columns:
    """The rows, with NaN in some values of nullable inputs."""
    rng = np.random.default_rng(_SEED)
    nullable = {i.name for i in spec.inputs if i.nullable}
    return {
        name: np.where(rng.random(len(values)) < _MISSING, np.nan, values) if name in nullable else values
        for name, values in rows.items()
    }


def _known_rows(spec: ModelSpec, fields: Sequence[InputSpec]) -> Array:
    """Golden rows and the example, without rows that have missing values."""
    rows = [
        np.concatenate([np.ravel(np.asarray(row[field.name], dtype=np.float64)) for field in fields])
        for row in [*spec.golden_inputs(), spec.example_row()]
        if all(row[field.name] is not None for field in fields)
    ]
    return np.array(rows).reshape(-1, sum(field.size for field in fields))


def _ranges(
    fields: Sequence[InputSpec], known: Array, thresholds: Mapping[int, Array]
) -> tuple[Array, Array]:
    """The least and the greatest value of each feature."""
    ranges = []
    for number, field in enumerate(one for one in fields for _ in range(one.size)):
        seen = np.concatenate([known[:, number], thresholds.get(number, np.empty(0)), [0.0, 1.0]])
        margin = 0.25 * (seen.max() - seen.min())
        low = seen.min() - margin if field.minimum is None else field.minimum
        high = seen.max() + margin if field.maximum is None else field.maximum
        ranges.append((min(low, high), max(low, high)))
    low_and_high = np.array(ranges, dtype=np.float64)
    return low_and_high[:, 0], low_and_high[:, 1]


def _corners(low: Array, high: Array, rng: Generator) -> Array:
    """All corners of the ranges; a sample if there are many features."""
    if 2 ** len(low) <= _CORNERS:
        at_high = np.array(list(product([False, True], repeat=len(low))))
    else:
        at_high = rng.random((_CORNERS, len(low))) < 0.5
    return np.where(at_high, high, low)


def _neighbours(low: Array, high: Array, thresholds: Mapping[int, Array], rng: Generator) -> Array:
    """Rows on a threshold, a float32 below it and a float64 above it, at which trees must agree."""
    pairs = [(feature, value) for feature, values in thresholds.items() for value in values]
    if len(pairs) > _THRESHOLDS:
        pairs = [pairs[n] for n in rng.choice(len(pairs), _THRESHOLDS, replace=False)]
    rows = rng.uniform(low, high, (3 * len(pairs), len(low)))
    for number, (feature, value) in enumerate(pairs):
        below = np.nextafter(np.float32(value), np.float32(-np.inf))
        rows[3 * number : 3 * number + 3, feature] = value, below, np.nextafter(value, np.inf)
    return rows


def _as_columns(fields: Sequence[InputSpec], rows: Array) -> Columns:
    columns, start = {}, 0
    for field in fields:
        values = rows[:, start : start + field.size].reshape(-1, *field.shape)
        columns[field.name] = _typed(field, np.ascontiguousarray(values))
        start += field.size
    return columns


def _typed(field: InputSpec, values: Array) -> Array:
    if field.type is InputType.FLOAT32:
        return values.astype(np.float32)
    if field.type is InputType.INT64:
        return np.rint(values) if field.nullable else np.rint(values).astype(np.int64)
    return values
