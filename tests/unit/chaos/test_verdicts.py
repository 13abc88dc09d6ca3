"""The verdicts of the chaos suite about returned rows."""

from __future__ import annotations

import numpy as np
import pytest

from takt.formats import Format
from tests.chaos.account import Account, Totals
from tests.chaos.orders import Order
from tests.chaos.verdicts import RIGHT, Verdict, judge

EXPECTED = np.array([10.0, 11.0, 12.0, 13.0])
NAN = float("nan")


@pytest.mark.parametrize(
    ("rows", "heights", "verdict"),
    [
        ([0, 1, 2, 3], [10, 11, 12, 13], RIGHT),
        ([0, 1, 3], [10, 11, 13], Verdict(lost=1)),
        ([0, 1, 2, 3], [10, NAN, 12, 13], Verdict(lost=1)),
        ([0, 1, 1, 2, 3], [10, 11, 11, 12, 13], Verdict(doubled=1)),
        ([0, 1, 2, 3], [10, 11, 12, 99], Verdict(wrong=1)),
        ([0, 1, 2, 3, 4], [10, 11, 12, 13, 14], Verdict(wrong=1)),
        ([0, 2, 1, 3], [10, 12, 11, 13], Verdict(wrong=1)),
        ([0, 1, 2, 3], [11, 10, 12, 13], Verdict(wrong=2)),
        ([], [], Verdict(lost=4)),
        ([0, 0, 0, 0], [10, 10, 10, 10], Verdict(lost=3, doubled=3)),
    ],
)
def test_each_row_is_to_be_there_once_in_its_place_with_its_height(
    rows: list[int], heights: list[float], verdict: Verdict
) -> None:
    assert judge(EXPECTED, np.array(rows, dtype=np.int64), np.array(heights, dtype=np.float64)) == verdict


def order(key: str, rows: int) -> Order:
    return Order(key, Format.ARROW, 0, rows)


def test_an_accepted_job_that_nothing_came_back_of_is_lost() -> None:
    account = Account()
    account.accept("one", order("a", 10))
    account.accept("two", order("b", 5))
    account.settle("one", RIGHT)
    assert account.totals() == Totals(jobs=2, rows=15, lost=5)
    assert account.in_flight() == ["two"]
    assert account.notes() == ["job two (5 rows) never ended"]


def test_what_is_found_of_each_job_adds_up() -> None:
    account = Account()
    for job_id, verdict in (("one", Verdict(lost=1, wrong=2)), ("two", Verdict(doubled=3))):
        account.accept(job_id, order(job_id, 10))
        account.settle(job_id, verdict, "found")
    account.doubled("three", "a", 7)
    assert account.totals() == Totals(jobs=2, rows=20, lost=1, doubled=10, wrong=2)
    assert len(account.notes()) == 3
