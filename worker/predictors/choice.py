"""Which runtime runs a call: decided once, by the rates of the warm-up, for each number of rows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

from shared.columns import Array, Columns, row_count
from worker.predictors.base import Runtime

NATIVE = "native"
_GAIN = 1.1
"""A compiled runtime is taken where it is so many times as fast as the native one: less may be noise."""

Rates = Mapping[int, float]
"""Rows/s by the rows of a call."""


def choose(native: Rates, others: Mapping[str, Rates]) -> dict[int, str]:
    """The name of the runtime for calls of each size that the native one was measured at."""
    return {size: _fastest(size, rate, others) for size, rate in native.items()}


def _fastest(size: int, native_rate: float, others: Mapping[str, Rates]) -> str:
    rates = {name: rates[size] for name, rates in others.items() if size in rates}
    best = max(rates, key=rates.__getitem__, default=NATIVE)
    return best if rates.get(best, 0.0) >= _GAIN * native_rate else NATIVE


class Switch:
    """Runs each call on the runtime of the next size that was measured; what is larger, on the largest's."""

    def __init__(self, runtimes: Mapping[str, Runtime], chosen: Mapping[int, str]) -> None:
        self._sizes = sorted(chosen)
        self._runtimes = [runtimes[chosen[size]] for size in self._sizes]

    def __call__(self, columns: Columns) -> Array:
        place = min(bisect_left(self._sizes, row_count(columns)), len(self._sizes) - 1)
        return self._runtimes[place](columns)
