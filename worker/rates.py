"""How fast a model version runs here, measured while it works."""

from __future__ import annotations

from dataclasses import dataclass

_WEIGHT = 0.2  # of the newest measurement


@dataclass
class Rate:
    """Rows per second of full batches, as a moving average; batches that are mostly empty teach nothing."""

    full_rows: int
    rows_per_s: float = 0.0

    def measured(self, rows: int, seconds: float) -> None:
        if rows * 2 < self.full_rows or seconds <= 0:
            return
        newest = rows / seconds
        self.rows_per_s += (newest - self.rows_per_s) * (_WEIGHT if self.rows_per_s else 1.0)
