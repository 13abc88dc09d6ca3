"""Limits the rows of a model call to the available memory, learned from calls that ran out of memory.

A call that runs out of memory is repeated in groups (`worker/online/bisection.py`). If every row then passes,
the largest group that passed limits all later calls until the worker ends. The available memory may change,
but testing it again would cost a failed call each time.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.columns import Columns, row_count, take
from worker.predictors import OutOfMemoryError, Predictor
from worker.predictors.separate_labels import Answer, joined


@dataclass
class CallLimit:
    """The limit of a model version on this worker's device. Owned by the engine."""

    rows: int = 0  # most rows of a call; 0: no limit
    _passed: int = 0  # rows of the largest call since the last `settle`
    _refused: bool = False
    _one_row_refused: bool = False

    def predict(self, predictor: Predictor, columns: Columns) -> Answer:
        """Predict in calls within the limit. Raises PredictionFailed, OutOfMemoryError."""
        rows = row_count(columns)
        if not self.rows or rows <= self.rows:
            return self._call(predictor, columns)
        starts = range(0, rows, self.rows)
        return joined([self._call(predictor, take(columns, start, start + self.rows)) for start in starts])

    def predict_in_halves(self, predictor: Predictor, columns: Columns) -> Answer:
        """Predict rows that must succeed or fail together, such as rows of an online entry; halve calls
        that do not fit."""
        try:
            return self.predict(predictor, columns)
        except OutOfMemoryError:
            rows = row_count(columns)
            if rows == 1:
                raise
            halves = (take(columns, 0, rows // 2), take(columns, rows // 2, rows))
            return joined([self.predict_in_halves(predictor, half) for half in halves])

    def settle(self) -> None:
        """End a batch or slice. A single row that runs out of memory lowers no limit."""
        if self._refused and not self._one_row_refused and self._passed:
            self.rows = self._passed
        self._passed, self._refused, self._one_row_refused = 0, False, False

    def _call(self, predictor: Predictor, columns: Columns) -> Answer:
        rows = row_count(columns)
        try:
            answer = predictor.predict(columns)
        except OutOfMemoryError:
            self._refused = True
            self._one_row_refused |= rows == 1
            raise
        self._passed = max(self._passed, rows)
        return answer
