"""How fast a model version runs here, and for how long the engine has worked: measured while it works."""

from __future__ import annotations

import math
from dataclasses import dataclass

SPAN_S = 0.5
"""After work of so many seconds a rate has forgotten most of what was: a model's speed may change."""


@dataclass
class ThroughputEstimate:
    """Rows per second of full batches, averaged over the last `SPAN_S` of work.

    Batches that are mostly empty say less than the model can do. They count only where they show more than is
    known: a rate that was once too low would else keep batches small, and so itself low.
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
        if 0 < newest < self.rows_per_s:  # averages what a row costs, so that a sudden rise shows at once
            self.rows_per_s = 1 / (weight / newest + (1 - weight) / self.rows_per_s)
        else:
            self.rows_per_s += (newest - self.rows_per_s) * weight


@dataclass
class Fastest:
    """The shortest call and the highest rate of a call that were measured here: no request can be quicker."""

    call_s: float = 0.0  # 0: none yet
    rows_per_s: float = 0.0

    def ran(self, rows: int, seconds: float) -> None:
        if rows > 0 and seconds > 0:
            self.call_s = min(self.call_s or seconds, seconds)
            self.rows_per_s = max(self.rows_per_s, rows / seconds)


@dataclass
class BatchTimer:
    """What one online batch costs: all the time since the one before it or, where the lane was empty in
    between, since there was something to do. So the other lane's slices and the sending of answers count."""

    _since_s: float | None = None

    def looked(self, now_s: float, *, waiting: bool) -> None:
        """Whether anything waits on the online lane now."""
        if not waiting:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s

    def ended(self, now_s: float) -> float:
        """→ seconds that the batch took which ends now; the next begins."""
        took_s = now_s - self._since_s if self._since_s is not None else 0.0
        self._since_s = now_s
        return took_s
