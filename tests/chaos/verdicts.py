"""Comparison of a job's results with its rows. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.chaos.terrain import Floats, Numbers


@dataclass(frozen=True)
class Verdict:
    """Counts of accepted rows."""

    lost: int = 0  # missing, or without a height
    doubled: int = 0  # present more than once
    wrong: int = 0  # wrong height, wrong position, or an unknown row

    @property
    def right(self) -> bool:
        return self == RIGHT


RIGHT = Verdict()


def judge(expected: Floats, rows: Numbers, heights: Floats) -> Verdict:
    """`expected[i]` is the height of row i; `rows` and `heights` are the results in received order.

    A missing height is NaN: its row failed, and an accepted row must not fail.
    """
    count = len(expected)
    if np.array_equal(rows, np.arange(count)) and np.array_equal(heights, expected):
        return RIGHT
    known = (rows >= 0) & (rows < count)
    times = np.bincount(rows[known], minlength=count)
    failed = np.isnan(heights)
    answered = known & ~failed
    misfits = heights[answered] != expected[rows[answered]]
    return Verdict(
        lost=int((times == 0).sum() + (known & failed).sum()),
        doubled=int(np.maximum(times - 1, 0).sum()),
        wrong=int(misfits.sum() + (~known).sum() + (np.diff(rows) < 0).sum()),
    )
