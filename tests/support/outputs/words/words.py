from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

LARGE = 2**60 + 1


class Words(BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """Answers in every type; some lack a value where a >= 0 or c < 0."""

    def remark(self, rows: NDArray[Any]) -> NDArray[Any]:
        return np.where(rows[:, 0] > 0, '"양호", a > 0', "불량; <a> ≤ 0")

    def tags(self, rows: NDArray[Any]) -> NDArray[Any]:
        return np.where(rows[:, :2] > 0, "up", "down")

    def passed(self, rows: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = rows[:, 0] > 0
        return found

    def serial(self, rows: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = LARGE + np.rint(rows[:, 1]).astype(np.int64)
        return found

    def next_serial(self, rows: NDArray[Any]) -> NDArray[Any]:
        return np.array([None if a >= 0 else LARGE + 1 for a in rows[:, 0]], dtype=object)

    def ratio(self, rows: NDArray[Any]) -> NDArray[Any]:
        found = rows[:, 1] / rows[:, 0]
        return np.where(rows[:, 2] < 0, np.nan, found).astype(np.float32)

    def operator(self, rows: NDArray[Any]) -> NDArray[Any]:
        return np.array([None if c < 0 else "김" for c in rows[:, 2]], dtype=object)
