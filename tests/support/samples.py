"""Tables of random rows for large jobs, generated as whole columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.random import Generator

Drawn: TypeAlias = Callable[[int], pa.Table]
"""A number of rows of a model."""
FLOWER = ("sepal_length", "sepal_width", "petal_length", "petal_width")


def flowers(rows: int, *, seed: int = 11) -> pa.Table:
    """Rows of iris."""
    drawn = np.random.default_rng(seed).uniform(0.0, 8.0, (len(FLOWER), rows)).round(2)
    return pa.table(dict(zip(FLOWER, drawn, strict=True)))


def parts(rows: int, *, seed: int = 12) -> pa.Table:
    """Rows of quality: known and unknown names, times, and missing values in every nullable column."""
    rng = np.random.default_rng(seed)
    seconds = rng.integers(0, 180 * 86_400, rows)
    return pa.table(
        {
            "machine": _names(rng, [*(f"IM-{n:02d}" for n in range(1, 9)), "IM-99", "사출기 1"], rows),
            "product": _names(rng, ["housing", "cap", "gear", "clip"], rows),
            "shift": _names(rng, ["day", "evening", "night"], rows),
            "resin_lot": _names(rng, ["A", "B", "C", 'D,"2"', None], rows),
            "melt_temperature_c": rng.normal(225, 8, rows).round(1),
            "mold_temperature_c": _gaps(rng, rng.normal(60, 4, rows).round(1)),
            "torque_nm": _gaps(rng, rng.normal(48, 6, rows).round(1)),
            "pressure_bar": rng.normal(900, 60, rows).round(),
            "cycle_time_s": rng.gamma(60, 0.5, rows).round(2),
            "operators": rng.integers(0, 5, rows),
            "maintenance_due": rng.random(rows) < 0.15,
            "produced_at": pa.array(np.datetime64("2026-01-05T00:00:00", "us") + seconds.astype("m8[s]")),
        }
    )


def _names(rng: Generator, names: Sequence[str | None], rows: int) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(rng.integers(0, len(names), rows)))


def _gaps(rng: Generator, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> pa.Array:
    return pa.array(values, mask=rng.random(len(values)) < 0.1)
