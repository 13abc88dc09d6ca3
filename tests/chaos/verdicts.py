"""What came back of a job, held against what was asked: a pure judgement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.chaos.terrain import Floats, Numbers


@dataclass(frozen=True)
class Verdict:
    """Of the rows that were accepted."""

    lost: int = 0  # not there, or without a height
    doubled: int = 0  # there more than once
    wrong: int = 0  # another height, another place in the order, or nobody's row

    @property
    def right(self) -> bool:
        return self == RIGHT


RIGHT = Verdict()


def judge(expected: Floats, rows: Numbers, heights: Floats) -> Verdict:
    """`expected[i]` is the height of row i; `rows` and `heights` are what came back, in the order it came.

    A height that is missing is NaN: its row failed, and a row that was accepted must not.
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
