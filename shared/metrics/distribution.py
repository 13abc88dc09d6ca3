"""Counts of values by bucket, for a histogram, in plain Python.

prometheus_client's own histogram takes two locks and compares all bounds for each value; this
costs a bisection and three additions, so that it may stand in the way of every request.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from shared.metrics.metric import Metric


class Distribution:
    """Counts by bucket, sum and maximum of a quantity.

    A single thread adds, any thread may read: a reader may see a value that is being added in some counts
    only.
    """

    __slots__ = ("_bounds", "_counts", "_per_unit", "most", "total")

    def __init__(self, metric: Metric, *, per_unit: float = 1.0) -> None:
        """`per_unit`: values' units per unit of the metric: 1000 for ms in a metric of s."""
        self._bounds = [bound * per_unit for bound in metric.bounds]
        self._counts = [0] * (len(metric.bounds) + 1)
        self._per_unit = per_unit
        self.total = 0.0
        self.most = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value
        if value > self.most:  # noqa: PLR1730 - `max` takes three times as long
            self.most = value

    @property
    def count(self) -> int:
        return sum(self._counts)

    @property
    def mean(self) -> float:
        return self.total / count if (count := self.count) else 0.0

    @property
    def sum_units(self) -> float:
        """The sum, in the metric's unit."""
        return self.total / self._per_unit

    def cumulative(self) -> Sequence[int]:
        """How many values are at most each bound, in their order, and last how many there are."""
        return list(accumulate(self._counts))
