"""The lane scheduler and throughput estimates, with the clock passed in."""

from __future__ import annotations

import pytest

from worker.execution.scheduler import (
    LONG_SLICE_S,
    SHORT_SLICE_S,
    LaneScheduler,
    NextLane,
    least_slice_rows,
    slice_rows,
)
from worker.execution.throughput import BatchTimer, ThroughputEstimate


def test_the_engine_waits_only_when_neither_lane_has_work() -> None:
    scheduler = LaneScheduler()
    assert scheduler.next_turn(online=False, offline=False) is NextLane.WAIT
    assert scheduler.next_turn(online=True, offline=False) is NextLane.ONLINE
    assert scheduler.next_turn(online=False, offline=True) is NextLane.OFFLINE


def test_online_goes_first_until_chunks_are_owed_something() -> None:
    scheduler = LaneScheduler()
    assert scheduler.next_turn(online=True, offline=True) is NextLane.ONLINE
    scheduler.online_ran(now_s=10.0, took_s=0.5)
    assert scheduler.next_turn(online=True, offline=True) is NextLane.OFFLINE


@pytest.mark.parametrize(("online_s", "slice_s"), [(0.01, 0.01), (0.001, 0.003), (0.16, 0.16), (0.002, 0.32)])
def test_chunks_get_a_tenth_of_the_time_under_full_online_load(online_s: float, slice_s: float) -> None:
    scheduler, now_s = LaneScheduler(), 0.0
    while now_s < 60.0:
        if scheduler.next_turn(online=True, offline=True) is NextLane.ONLINE:
            now_s += online_s
            scheduler.online_ran(now_s, online_s)
        else:
            now_s += slice_s
            scheduler.offline_ran(slice_s)
    assert scheduler.offline_s / now_s == pytest.approx(0.1, abs=0.01)


def test_what_chunks_took_while_nobody_waited_online_is_not_held_against_them() -> None:
    scheduler = LaneScheduler()
    for _ in range(100):
        assert scheduler.next_turn(online=False, offline=True) is NextLane.OFFLINE
        scheduler.offline_ran(0.075)
    scheduler.next_turn(online=True, offline=True)
    scheduler.online_ran(now_s=8.0, took_s=0.01)
    assert scheduler.next_turn(online=True, offline=True) is NextLane.OFFLINE


def test_without_chunks_online_may_take_all_the_time_and_owes_nothing() -> None:
    scheduler = LaneScheduler()
    for tick in range(200):
        assert scheduler.next_turn(online=True, offline=False) is NextLane.ONLINE
        scheduler.online_ran(tick * 0.01, 0.01)
    assert scheduler.next_turn(online=True, offline=True) is NextLane.ONLINE


def test_slices_are_short_for_a_second_after_an_online_batch() -> None:
    scheduler = LaneScheduler()
    assert scheduler.slice_s(0.0) == LONG_SLICE_S
    scheduler.online_ran(5.0, 0.001)
    assert scheduler.slice_s(5.9) == SHORT_SLICE_S
    assert scheduler.slice_s(6.0) == LONG_SLICE_S


@pytest.mark.parametrize(
    ("rows_per_s", "rows"),
    [(0.0, 64), (500.0, 64), (100_000.0, 7_500), (10_000_000.0, 16_384)],
    ids=["unmeasured", "slow", "fast", "faster than a call may be large"],
)
def test_a_slice_is_what_fits_into_its_time_but_one_call_at_least(rows_per_s: float, rows: int) -> None:
    assert slice_rows(LONG_SLICE_S, rows_per_s, least=64, most=16_384) == rows


@pytest.mark.parametrize(
    ("rates", "rows"),
    [
        ({}, 64),
        ({1: 100.0, 64: 5_000.0, 256: 18_000.0, 1024: 60_000.0, 4096: 120_000.0}, 1024),
        ({1: 28_000.0, 64: 800_000.0, 256: 1_500_000.0, 1024: 2_000_000.0}, 64),
        ({1: 10.0, 64: 10.0, 256: 10.0}, 64),
    ],
    ids=["unmeasured", "a call costs most", "compiled", "a row costs most"],
)
def test_a_slice_has_the_rows_that_a_batch_of_requests_has_time_for_anyway(
    rates: dict[int, float], rows: int
) -> None:
    assert least_slice_rows(rates, 64) == rows


def test_a_rate_follows_full_batches_and_ignores_nearly_empty_ones_that_are_slower() -> None:
    rate = ThroughputEstimate(full_rows=64)
    rate.measured(64, 0.01)
    assert rate.rows_per_s == pytest.approx(6400)
    rate.measured(1, 0.01)
    assert rate.rows_per_s == pytest.approx(6400)


def test_a_rate_has_followed_a_model_that_slows_down_after_a_second_of_work() -> None:
    rate = ThroughputEstimate(full_rows=64, rows_per_s=6400)
    for _ in range(50):
        rate.measured(64, 0.02)
    assert rate.rows_per_s == pytest.approx(3200, rel=0.15)
    rate.measured(64, 3.2)  # a single batch longer than the span is enough
    assert rate.rows_per_s < 30


def test_a_model_that_is_suddenly_fifty_times_as_slow_shows_after_a_few_batches() -> None:
    rate = ThroughputEstimate(full_rows=16, rows_per_s=10_000)
    for _ in range(5):
        rate.measured(16, 0.08)
    assert 200 <= rate.rows_per_s < 400


def test_a_rate_that_was_too_low_rises_although_it_keeps_batches_small() -> None:
    rate = ThroughputEstimate(full_rows=64, rows_per_s=1.0)
    for _ in range(100):
        rate.measured(5, 0.025)
    assert rate.rows_per_s == pytest.approx(200, rel=0.05)


def test_a_lap_counts_what_the_engine_did_between_two_batches() -> None:
    timer = BatchTimer()
    timer.looked(10.0, waiting=True)
    assert timer.ended(10.3) == pytest.approx(0.3)
    timer.looked(10.31, waiting=True)  # a slice of a chunk, then the next batch
    assert timer.ended(10.8) == pytest.approx(0.5)


def test_a_lap_begins_when_something_waits_again() -> None:
    timer = BatchTimer()
    timer.looked(10.0, waiting=True)
    timer.ended(10.3)
    timer.looked(10.3, waiting=False)
    timer.looked(99.0, waiting=True)
    assert timer.ended(99.2) == pytest.approx(0.2)
