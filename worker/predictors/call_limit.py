"""Ceilings: how many rows of a model version fit into this worker's memory, learned where a call did not fit.

A call that runs out of memory is run again in groups (`worker/online/bisection.py`). If then every row
passes,
the largest call that passed is the ceiling of all later ones, until the worker ends: what else takes the
memory may change, but finding out again would cost a failed call each time.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.columns import Array, Columns, row_count, take
from worker.predictors import OutOfMemory, Predictor
from worker.predictors.labelled_answers import joined


@dataclass
class CallLimit:
    """Of one model version on this worker's device. Owned by the engine."""

    rows: int = 0  # of one call; 0: there is none
    _passed: int = 0  # the largest call since the last `settle`
    _refused: bool = False
    _one_row_refused: bool = False

    def predict(self, predictor: Predictor, columns: Columns) -> Array:
        """As the predictor does, in calls of no more rows than fit. Raises PredictionFailed, OutOfMemory."""
        rows = row_count(columns)
        if not self.rows or rows <= self.rows:
            return self._call(predictor, columns)
        starts = range(0, rows, self.rows)
        return joined([self._call(predictor, take(columns, start, start + self.rows)) for start in starts])

    def predict_in_halves(self, predictor: Predictor, columns: Columns) -> Array:
        """For rows that cannot be told apart by who failed: those of one online entry."""
        try:
            return self.predict(predictor, columns)
        except OutOfMemory:
            rows = row_count(columns)
            if rows == 1:
                raise
            halves = (take(columns, 0, rows // 2), take(columns, rows // 2, rows))
            return joined([self.predict_in_halves(predictor, half) for half in halves])

    def settle(self) -> None:
        """A batch or slice is over. A row that runs out of memory by itself lowers no ceiling."""
        if self._refused and not self._one_row_refused and self._passed:
            self.rows = self._passed
        self._passed, self._refused, self._one_row_refused = 0, False, False

    def _call(self, predictor: Predictor, columns: Columns) -> Array:
        rows = row_count(columns)
        try:
            answer = predictor.predict(columns)
        except OutOfMemory:
            self._refused = True
            self._one_row_refused |= rows == 1
            raise
        self._passed = max(self._passed, rows)
        return answer
