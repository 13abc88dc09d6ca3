"""Median and spread of a few rounds, and ratios of rounds that ran next to each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """A quantity over the rounds."""

    median: float
    least: float
    most: float

    def shown(self, form: Callable[[float], str]) -> str:
        """`42 (40-44)`, or only `42` where all rounds look the same."""
        ends = form(self.least), form(self.most)
        middle = form(self.median)
        return middle if ends == (middle, middle) else f"{middle} ({ends[0]}-{ends[1]})"


def spread(values: Iterable[float | None]) -> Spread | None:
    """None where no round gave a value."""
    given = [value for value in values if value is not None]
    return Spread(median(given), min(given), max(given)) if given else None


def ratios(of: Sequence[float], to: Sequence[float]) -> Spread | None:
    """Round by round, so that a machine whose speed drifts between rounds does not spread the ratio.

    A round in which the other did nothing counts as infinitely much; leaving it out would flatter the other.
    """
    return spread(_ratio(a, b) for a, b in zip(of, to, strict=True))


def _ratio(of: float, to: float) -> float | None:
    if to:
        return of / to
    return math.inf if of else None


def short(value: float) -> str:
    """Three digits that mean something: `0.92`, `9.4`, `42`, `1,204`."""
    if math.isinf(value):
        return "∞"
    for limit, form in ((1, "{:.2f}"), (10, "{:.1f}")):
        if abs(value) < limit:
            return form.format(value)
    return f"{value:,.0f}"
