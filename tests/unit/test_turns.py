"""Whose turn it is, with the clock passed in."""

from __future__ import annotations

import pytest

from worker.rates import Rate
from worker.turns import LONG_SLICE_S, SHORT_SLICE_S, Share, Turn, slice_rows


def test_the_engine_waits_only_when_neither_lane_has_work() -> None:
    share = Share()
    assert share.next_turn(0.0, online=False, offline=False) is Turn.WAIT
    assert share.next_turn(0.0, online=True, offline=False) is Turn.ONLINE
    assert share.next_turn(0.0, online=False, offline=True) is Turn.OFFLINE


def test_online_goes_first_while_it_has_time_left() -> None:
    share = Share()
    share.online_ran(now_s=10.0, took_s=0.5)
    assert share.next_turn(10.0, online=True, offline=True) is Turn.ONLINE


def test_chunks_get_a_tenth_of_each_second_under_full_online_load() -> None:
    share, now_s, offline_s = Share(), 0.0, 0.0
    while now_s < 20.0:
        took_s = 0.01
        now_s += took_s
        if share.next_turn(now_s, online=True, offline=True) is Turn.ONLINE:
            share.online_ran(now_s, took_s)
        else:
            offline_s += took_s
    assert offline_s / now_s == pytest.approx(0.1, abs=0.02)


def test_without_chunks_online_may_take_all_the_time() -> None:
    share = Share()
    for tick in range(200):
        share.online_ran(tick * 0.01, 0.01)
    assert share.next_turn(2.0, online=True, offline=False) is Turn.ONLINE


def test_slices_are_short_for_a_second_after_an_online_batch() -> None:
    share = Share()
    assert share.slice_s(0.0) == LONG_SLICE_S
    share.online_ran(5.0, 0.001)
    assert share.slice_s(5.9) == SHORT_SLICE_S
    assert share.slice_s(6.0) == LONG_SLICE_S


@pytest.mark.parametrize(
    ("rows_per_s", "rows"),
    [(0.0, 64), (500.0, 64), (100_000.0, 7_500), (10_000_000.0, 16_384)],
    ids=["unmeasured", "slow", "fast", "faster than a call may be large"],
)
def test_a_slice_is_what_fits_into_its_time_but_one_call_at_least(rows_per_s: float, rows: int) -> None:
    assert slice_rows(LONG_SLICE_S, rows_per_s, least=64, most=16_384) == rows


def test_a_rate_follows_full_batches_and_ignores_nearly_empty_ones() -> None:
    rate = Rate(full_rows=64)
    rate.measured(64, 0.01)
    assert rate.rows_per_s == pytest.approx(6400)
    rate.measured(1, 0.01)
    assert rate.rows_per_s == pytest.approx(6400)
    for _ in range(50):
        rate.measured(64, 0.02)
    assert rate.rows_per_s == pytest.approx(3200, rel=0.01)
