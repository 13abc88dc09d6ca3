"""Median and spread over a few rounds, and ratios of adjacent rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """Median, minimum and maximum of a quantity over the rounds."""

    median: float
    least: float
    most: float

    def shown(self, form: Callable[[float], str]) -> str:
        """`42 (40-44)`, or `42` if all rounds have the same text."""
        ends = form(self.least), form(self.most)
        middle = form(self.median)
        return middle if ends == (middle, middle) else f"{middle} ({ends[0]}-{ends[1]})"


def spread(values: Iterable[float | None]) -> Spread | None:
    """None if no round has a value."""
    given = [value for value in values if value is not None]
    return Spread(median(given), min(given), max(given)) if given else None


def ratios(of: Sequence[float], to: Sequence[float]) -> Spread | None:
    """Ratios by round, so that a drift in machine speed between rounds does not widen the spread.

    A round in which the other side achieved nothing counts as infinite; without it the other side would look
    better.
    """
    return spread(_ratio(a, b) for a, b in zip(of, to, strict=True))


def _ratio(of: float, to: float) -> float | None:
    if to:
        return of / to
    return math.inf if of else None


def short(value: float) -> str:
    """Format with decimals according to magnitude: `0.92`, `9.4`, `42`, `1,204`."""
    if math.isinf(value):
        return "∞"
    for limit, form in ((1, "{:.2f}"), (10, "{:.1f}")):
        if abs(value) < limit:
            return form.format(value)
    return f"{value:,.0f}"
