"""Workers that are expected back after a crash."""

from __future__ import annotations

import pytest

from api.fleet.fleet_watch import FleetWatch
from api.fleet.returning_workers import RETURN_LIMIT_S, ReturningWorkers
from api.fleet.snapshot import Fleet
from shared.worker_records import HeldModel, ModelState, WorkerRecord, WorkerState
from tests.unit.gateway_fakes import IRIS, IRIS_KEY, FakeClock, FakeRedis, FakeWorker

HELD = HeldModel(state=ModelState.LOADED, rows_per_s=100.0)


def worker(
    boot: str, state: WorkerState = WorkerState.SERVING, held: HeldModel = HELD, name: str = "w1/0"
) -> WorkerRecord:
    return WorkerRecord(
        id=f"{name}:{boot}",
        host="h",
        pid=1,
        device="cpu",
        state=state,
        started_at="2026-01-01T00:00:00Z",
        models={IRIS_KEY: held},
    )


@pytest.fixture
def returning() -> ReturningWorkers:
    """It has just seen worker `w1/0:a`."""
    returning = ReturningWorkers()
    assert returning.see([worker("a")], ["w1/0:a"], 100.0) == ()
    return returning


def test_a_worker_whose_heartbeat_expired_returns_until_the_limit(returning: ReturningWorkers) -> None:
    assert returning.see([], ["w1/0:a"], 100.5) == (worker("a"),)
    assert returning.see([], ["w1/0:a"], 99.9 + RETURN_LIMIT_S) == (worker("a"),)
    assert returning.see([], ["w1/0:a"], 100.0 + RETURN_LIMIT_S) == ()


def test_a_worker_that_withdrew_does_not_return(returning: ReturningWorkers) -> None:
    assert returning.see([], [], 100.5) == ()


def test_a_worker_that_lives_is_not_returning(returning: ReturningWorkers) -> None:
    assert returning.see([worker("a")], ["w1/0:a"], 100.5) == ()


@pytest.mark.parametrize("announced", [["w1/0:a", "w1/0:b"], ["w1/0:b"]])
def test_while_its_successor_loads_it_returns_though_the_successor_removed_its_record(
    returning: ReturningWorkers, announced: list[str]
) -> None:
    loading = HeldModel(state=ModelState.LOADING)
    starting = worker("b", WorkerState.STARTING, loading)
    assert returning.see([starting], announced, 101.0) == (worker("a"),)
    assert returning.see([worker("b", held=loading)], announced, 102.0) == (worker("a"),)


@pytest.mark.parametrize("state", [ModelState.LOADED, ModelState.FAILED])
def test_once_its_successor_has_loaded_or_failed_it_speaks_for_itself(
    returning: ReturningWorkers, state: ModelState
) -> None:
    assert returning.see([worker("b", held=HeldModel(state=state))], ["w1/0:a"], 101.0) == ()


def test_another_worker_is_no_successor(returning: ReturningWorkers) -> None:
    assert returning.see([worker("x", name="w1/1")], ["w1/0:a", "w1/1:x"], 101.0) == (worker("a"),)


def test_a_returning_worker_serves_with_its_last_rate_if_no_live_worker_does() -> None:
    fleet = Fleet(returning=(worker("a"),))
    assert fleet.held == frozenset()
    assert (fleet.capacity(IRIS_KEY).holders, fleet.capacity(IRIS_KEY).rows_per_s) == (1, 100.0)


def test_returning_workers_do_not_count_beside_live_workers() -> None:
    fleet = Fleet(workers=(worker("x", name="w1/1"),), returning=(worker("a"), worker("b", name="w1/2")))
    assert (fleet.capacity(IRIS_KEY).holders, fleet.capacity(IRIS_KEY).rows_per_s) == (1, 100.0)


async def test_the_watch_reads_the_stream_of_a_returning_worker() -> None:
    clock, fake = FakeClock(), FakeWorker(FakeRedis(), IRIS)
    watch = FleetWatch(fake.client, lambda _key: 0, clock)
    await fake.beat()
    await watch.renew()
    await fake.die()
    clock.now_s += 0.5
    await watch.renew()
    assert (watch.fleet.held, watch.fleet.capacity(IRIS_KEY).holders) == (frozenset(), 1)
    assert watch.fleet.others_rows == {IRIS_KEY: 0.0}
    clock.now_s += 0.5
    await fake.withdraw()
    await watch.renew()
    assert watch.fleet.capacity(IRIS_KEY).holders == 0
