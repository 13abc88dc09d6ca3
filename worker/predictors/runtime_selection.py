"""Selects the runtime for each call size, once, from the rates of the warm-up."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

from shared.columns import Columns, row_count
from worker.predictors.answer_selection import RawAnswer
from worker.predictors.base import ModelRuntime

NATIVE = "native"
_GAIN = 1.1
"""Another runtime is selected only if it is this many times as fast; a smaller gain may be noise."""

Rates = Mapping[int, float]
"""Rows/s by the rows of a call."""


def choose(native: Rates, others: Mapping[str, Rates]) -> dict[int, str]:
    """The runtime for each call size at which the native runtime was measured, by name.

    Starts with the largest size; each smaller size keeps the runtime of the next larger unless another is
    faster.
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
    """Of the runtimes that are nearly as fast as the fastest: native, else the runtime before, else the
    fastest."""
    enough = max(rates.values()) / _GAIN
    content = [name for name in (NATIVE, before) if rates.get(name, 0.0) > enough]
    return content[0] if content else max(rates, key=rates.__getitem__)


class Switch:
    """Runs each call on the runtime of the next larger measured size; larger calls, on that of the
    largest."""

    def __init__(self, runtimes: Mapping[str, ModelRuntime], chosen: Mapping[int, str]) -> None:
        self._sizes = sorted(chosen)
        self._runtimes = [runtimes[chosen[size]] for size in self._sizes]

    def __call__(self, columns: Columns) -> RawAnswer:
        place = min(bisect_left(self._sizes, row_count(columns)), len(self._sizes) - 1)
        return self._runtimes[place](columns)
