"""The difference between the results of two runs of the same rows, added up table by table.

Memory is bounded: quantiles come from a sketch, and class pairs are limited in number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shared.arrow_tables import ERROR
from shared.tabular.distances import Distances, distances, is_label

MOST_PAIRS = 1000
"""Most distinct class pairs that are counted apart; further pairs count as `other`."""
QUANTILES = (0.5, 0.9, 0.99, 0.999)
_GROWTH = np.log(1.02)
"""Logarithm of the width of a bucket: quantiles are within 1 % (DDSketch, Masson et al., VLDB 2019)."""


class QuantileSketch:
    """Quantiles of numbers from 0 on, each within 1 % of its value; the largest is exact."""

    def __init__(self) -> None:
        self._zeros = 0
        self._buckets: Counter[int] = Counter()
        self.most = 0.0

    @property
    def count(self) -> int:
        return self._zeros + self._buckets.total()

    def add(self, values: Distances) -> None:
        above = values[values > 0]
        self._zeros += len(values) - len(above)
        if len(above):
            self.most = max(self.most, float(above.max()))
            places, counts = np.unique(np.floor(np.log(above) / _GROWTH), return_counts=True)
            self._buckets.update(dict(zip(places.astype(int).tolist(), counts.tolist(), strict=True)))

    def quantile(self, share: float) -> float | None:
        """The value that this share of the numbers does not exceed; None without numbers."""
        if not self.count:
            return None
        left = share * self.count - self._zeros
        if left <= 0:
            return 0.0
        for place in sorted(self._buckets):
            left -= self._buckets[place]
            if left <= 0:
                return min(self.most, float(np.exp((place + 0.5) * _GROWTH)))
        return self.most


@dataclass
class OutputDifference:
    """The difference of one output, over the rows that succeeded on both sides."""

    name: str
    label: bool
    """Whether its values are classes rather than numbers or tensors."""
    changed: int = 0
    incomparable: int = 0
    """Rows with a number on one side only, or with tensors of different shapes."""
    sketch: QuantileSketch = field(default_factory=QuantileSketch)
    changes: Counter[tuple[object, object]] = field(default_factory=Counter)
    """Rows by class pair, if the classes differ."""
    other_changes: int = 0

    def add(self, a: pa.Array, b: pa.Array) -> Distances:
        found = distances(a, b)
        self.changed += int(np.count_nonzero(found))
        if self.label:
            self._count_pairs(a, b, pa.array(found > 0))
        else:
            finite = np.isfinite(found)
            self.incomparable += len(found) - int(np.count_nonzero(finite))
            self.sketch.add(found[finite])
        return found

    def _count_pairs(self, a: pa.Array, b: pa.Array, changed: pa.Array) -> None:
        pairs = pa.table({"a": a.filter(changed), "b": b.filter(changed)})
        for pair in pairs.group_by(["a", "b"]).aggregate([([], "count_all")]).to_pylist():
            key, rows = (pair["a"], pair["b"]), pair["count_all"]
            if key in self.changes or len(self.changes) < MOST_PAIRS:
                self.changes[key] += rows
            else:
                self.other_changes += rows


@dataclass
class Difference:
    """The difference of all rows so far. Add the tables of both sides in the order of the rows."""

    tolerance: float = 0.0
    """Absolute difference of numbers within which a row counts as agreeing."""
    rows: int = 0
    equal: int = 0
    within_tolerance: int = 0
    different: int = 0
    failed_a: int = 0  # only on this side
    failed_b: int = 0
    failed_both: int = 0
    outputs: dict[str, OutputDifference] = field(default_factory=dict)
    only_in_a: Sequence[str] = ()
    only_in_b: Sequence[str] = ()

    @property
    def disagreeing(self) -> int:
        return self.different + self.failed_a + self.failed_b

    @property
    def disagreement(self) -> float:
        """The share of rows that disagree, from 0 to 1."""
        return self.disagreeing / self.rows if self.rows else 0.0

    def add(self, a: pa.Table, b: pa.Table) -> NDArray[np.bool_]:
        """Compare results of the same rows: outputs and `error`. → by row: whether they disagree"""
        failed_a, failed_b = (pc.is_valid(side[ERROR]).to_numpy() for side in (a, b))
        both, one = failed_a & failed_b, failed_a ^ failed_b
        succeeded = ~(failed_a | failed_b)
        furthest = self._furthest(a, b, succeeded)
        differs = furthest > self.tolerance
        self.rows += len(succeeded)
        self.failed_both += int(np.count_nonzero(both))
        self.failed_a += int(np.count_nonzero(one & failed_a))
        self.failed_b += int(np.count_nonzero(one & failed_b))
        self.different += int(np.count_nonzero(differs))
        self.equal += int(np.count_nonzero(furthest == 0))
        self.within_tolerance += int(np.count_nonzero((furthest > 0) & ~differs))
        disagrees = one.copy()
        disagrees[succeeded] = differs
        return np.asarray(disagrees)

    def _furthest(self, a: pa.Table, b: pa.Table, succeeded: NDArray[np.bool_]) -> Distances:
        """The largest distance of the compared outputs, of each row that succeeded on both sides."""
        names_a, names_b = ([name for name in side.column_names if name != ERROR] for side in (a, b))
        self.only_in_a = [name for name in names_a if name not in names_b]
        self.only_in_b = [name for name in names_b if name not in names_a]
        if not succeeded.all():
            a, b = a.filter(pa.array(succeeded)), b.filter(pa.array(succeeded))
        found = np.zeros(a.num_rows)
        for name in names_a:
            if name in names_b:
                x, y = (side[name].combine_chunks() for side in (a, b))
                output = self.outputs.setdefault(name, OutputDifference(name, is_label(x.type)))
                np.maximum(found, output.add(x, y), out=found)
        return found
