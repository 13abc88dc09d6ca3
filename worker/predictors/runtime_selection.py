"""Which runtime runs a call: decided once, by the rates of the warm-up, for each number of rows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

from shared.columns import Array, Columns, row_count
from worker.predictors.base import Runtime

NATIVE = "native"
_GAIN = 1.1
"""A runtime is left for another that is so many times as fast: less may be noise."""

Rates = Mapping[int, float]
"""Rows/s by the rows of a call."""


def choose(native: Rates, others: Mapping[str, Rates]) -> dict[int, str]:
    """The name of the runtime for calls of each size that the native one was measured at.

    From the largest size down: calls of the next smaller one stay with its runtime unless another gains.
    """
    chosen: dict[int, str] = {}
    runtime = NATIVE
    for size in sorted(native, reverse=True):
        rates = {NATIVE: native[size]} | {
            name: rates[size] for name, rates in others.items() if size in rates
        }
        runtime = chosen[size] = _fastest(rates, runtime)
    return {size: chosen[size] for size in native}


def _fastest(rates: Mapping[str, float], before: str) -> str:
    """What is as fast as the fastest, or nearly: the native one, else the one before, else the fastest."""
    enough = max(rates.values()) / _GAIN
    content = [name for name in (NATIVE, before) if rates.get(name, 0.0) > enough]
    return content[0] if content else max(rates, key=rates.__getitem__)


class Switch:
    """Runs each call on the runtime of the next size that was measured; what is larger, on the largest's."""

    def __init__(self, runtimes: Mapping[str, Runtime], chosen: Mapping[int, str]) -> None:
        self._sizes = sorted(chosen)
        self._runtimes = [runtimes[chosen[size]] for size in self._sizes]

    def __call__(self, columns: Columns) -> Array:
        place = min(bisect_left(self._sizes, row_count(columns)), len(self._sizes) - 1)
        return self._runtimes[place](columns)
