"""Measures the throughput of a model version and the cost of batches while they run."""

from __future__ import annotations

import math
from dataclasses import dataclass

SPAN_S = 0.5
"""Time constant in seconds of work: a model's speed may change, so older measurements fade."""


@dataclass
class ThroughputEstimate:
    """Rows per second of full batches, averaged over the last `SPAN_S` of work.

    Small batches underestimate the model's throughput. They count only if they raise the estimate: an
    estimate that is too low would otherwise keep batches small, and so keep itself low.
    """

    full_rows: int
    rows_per_s: float = 0.0

    def measured(self, rows: int, seconds: float) -> None:
        if seconds <= 0:
            return
        newest = rows / seconds
        if rows * 2 < self.full_rows and newest <= self.rows_per_s:
            return
        weight = 1 - math.exp(-seconds / SPAN_S) if self.rows_per_s else 1.0
        if 0 < newest < self.rows_per_s:  # average the cost per row, so that a sudden rise shows at once
            self.rows_per_s = 1 / (weight / newest + (1 - weight) / self.rows_per_s)
        else:
            self.rows_per_s += (newest - self.rows_per_s) * weight


@dataclass
class Fastest:
    """The shortest call and the highest rate measured here: the lower bound of any request's duration."""

    call_s: float = 0.0  # 0: none yet
    rows_per_s: float = 0.0

    def ran(self, rows: int, seconds: float) -> None:
        if rows > 0 and seconds > 0:
            self.call_s = min(self.call_s or seconds, seconds)
            self.rows_per_s = max(self.rows_per_s, rows / seconds)


@dataclass
class BatchTimer:
    """The time from an online batch to the next or, if the lane was empty in between, from the moment it
    had work. So it includes slices of the other lane and the sending of answers."""

    _since_s: float | None = None

    def looked(self, now_s: float, *, waiting: bool) -> None:
        """Record whether the online lane has work now."""
        if not waiting:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s

    def ended(self, now_s: float) -> float:
        """→ seconds that the batch ending now took; the next batch begins."""
        took_s = now_s - self._since_s if self._since_s is not None else 0.0
        self._since_s = now_s
        return took_s
