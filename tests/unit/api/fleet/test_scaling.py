"""The number of wanted workers, and the recent load of workers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.fleet.scaling import Bounds, Demand, need_of, wanted_workers
from api.fleet.worker_loads import MEMORY_S, WorkerLoads
from shared.keys import model_key
from shared.lanes import ModelLanes, OfflineQueue, OnlineQueue
from shared.worker_records import HeldModel, ModelState, WorkerRecord, WorkerState

IRIS = model_key("iris", "1.0.0")
NOTHING = Demand(ModelLanes(), arriving_rows_per_s=0.0, online_rows_per_s=100.0, offline_rows_per_s=1000.0)
MINUTE = Bounds(target_s=60.0)


def jobs(rows: int, chunks: int = 1000, **running: int) -> Demand:
    return replace(
        NOTHING, lanes=ModelLanes(offline=OfflineQueue(jobs=1, chunks=chunks, rows=rows, **running))
    )


def test_nothing_to_do_wants_no_worker() -> None:
    assert wanted_workers([NOTHING], MINUTE) == 0


def test_what_waits_is_to_be_done_within_the_target() -> None:
    assert wanted_workers([jobs(60_000)], MINUTE) == 1
    assert wanted_workers([jobs(60_001)], MINUTE) == 2
    assert wanted_workers([jobs(600_000)], MINUTE) == 10
    assert wanted_workers([jobs(600_000)], Bounds(target_s=600.0)) == 1


def test_more_workers_than_chunks_are_never_wanted_for_jobs() -> None:
    assert wanted_workers([jobs(10_000_000, chunks=3)], MINUTE) == 3


def test_a_job_whose_last_chunk_runs_keeps_its_worker() -> None:
    assert wanted_workers([jobs(0, chunks=0, running_chunks=1, running_rows=10)], MINUTE) == 1


def test_without_a_measured_rate_a_single_worker_is_wanted() -> None:
    unmeasured = replace(jobs(10_000_000), online_rows_per_s=0.0, offline_rows_per_s=0.0)
    assert wanted_workers([unmeasured], MINUTE) == 1


def test_workers_that_are_busy_all_the_time_online_want_help() -> None:
    busy = replace(NOTHING, arriving_rows_per_s=200.0)  # of two workers that do 100 each
    assert wanted_workers([busy], MINUTE) == 3


def test_a_quiet_lane_keeps_the_worker_that_it_has() -> None:
    assert wanted_workers([replace(NOTHING, arriving_rows_per_s=1.0)], MINUTE) == 1


def test_waiting_online_rows_count_beside_arriving_rows() -> None:
    waits = replace(NOTHING, lanes=ModelLanes(online=OnlineQueue(requests=6000, rows=6000)))
    assert need_of(waits, 60.0) == pytest.approx(1.0)


def test_models_that_share_workers_want_them_together() -> None:
    assert wanted_workers([jobs(20_000), jobs(30_000)], MINUTE) == 1
    assert wanted_workers([jobs(60_000), jobs(30_000)], MINUTE) == 2


def test_the_bounds_hold_whatever_waits() -> None:
    assert wanted_workers([NOTHING], Bounds(60.0, min_workers=2)) == 2
    assert wanted_workers([jobs(10_000_000)], Bounds(60.0, max_workers=4)) == 4
    assert wanted_workers([NOTHING], Bounds(60.0, min_workers=3, max_workers=2)) == 3


def worker(batch_rows: int, online_s: float, worker_id: str = "w:1") -> WorkerRecord:
    held = HeldModel(state=ModelState.LOADED, batch_rows=batch_rows)
    return WorkerRecord(
        id=worker_id,
        host="here",
        pid=1,
        device="cpu",
        state=WorkerState.SERVING,
        started_at="2026-01-01T00:00:00+00:00",
        models={IRIS: held},
        online_s=online_s,
    )


def test_the_load_of_workers_follows_from_the_growth_of_their_counters() -> None:
    loads = WorkerLoads()
    for second in range(300):
        loads.see([worker(100 * second, 0.25 * second)], float(second))
    assert loads.online_rows_per_s(IRIS) == pytest.approx(100.0, rel=0.01)
    assert loads.of("w:1").online_share == pytest.approx(0.25, rel=0.01)


def test_what_a_worker_did_before_it_was_first_seen_is_no_load() -> None:
    loads = WorkerLoads()
    loads.see([worker(1_000_000, 5000.0)], 0.0)
    loads.see([worker(1_000_000, 5000.0)], 1.0)
    assert loads.online_rows_per_s(IRIS) == 0.0


def test_a_load_that_ends_is_forgotten_in_minutes() -> None:
    loads = WorkerLoads()
    for second in range(100):
        loads.see([worker(100 * second, 0.0)], float(second))
    for second in range(100, 100 + int(5 * MEMORY_S)):
        loads.see([worker(9900, 0.0)], float(second))
    assert loads.online_rows_per_s(IRIS) < 1.0


def test_a_worker_that_is_gone_does_nothing() -> None:
    loads = WorkerLoads()
    loads.see([worker(0, 0.0)], 0.0)
    loads.see([worker(100, 0.0)], 1.0)
    loads.see([], 2.0)
    assert loads.online_rows_per_s(IRIS) == 0.0
