"""Workers that count as alive while heartbeats are missing."""

from __future__ import annotations

import pytest

from api.fleet.fleet_watch import RETURN_S, UNSEEN_S, FleetWatch
from tests.unit.gateway_fakes import IRIS, IRIS_KEY, FakeClock, FakeRedis, FakeWorker


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def worker() -> FakeWorker:
    return FakeWorker(FakeRedis(), IRIS)


@pytest.fixture
async def watch(worker: FakeWorker, clock: FakeClock) -> FleetWatch:
    """A watch that has just seen the worker."""
    watch = FleetWatch(worker.client, lambda _key: 0, clock)
    await worker.beat()
    await watch.renew()
    assert IRIS_KEY in watch.fleet.held
    return watch


async def test_a_worker_whose_heartbeat_runs_out_is_gone_at_the_next_look(
    watch: FleetWatch, worker: FakeWorker, clock: FakeClock
) -> None:
    await worker.die()
    clock.now_s += 0.5
    await watch.renew()
    assert IRIS_KEY not in watch.fleet.held


async def test_heartbeats_that_ran_out_with_the_server_away_are_waited_for(
    watch: FleetWatch, worker: FakeWorker, clock: FakeClock
) -> None:
    await worker.die()  # as it seems: the server was stopped for longer than a heartbeat lasts
    clock.now_s += UNSEEN_S + 5
    await watch.renew()
    assert IRIS_KEY in watch.fleet.held
    await worker.beat()
    clock.now_s += 0.5
    await watch.renew()
    assert [record.id for record in watch.fleet.workers] == ["fake:1"]


async def test_a_worker_that_is_not_heard_of_again_is_gone_two_seconds_later(
    watch: FleetWatch, worker: FakeWorker, clock: FakeClock
) -> None:
    await worker.die()
    clock.now_s += UNSEEN_S + 5
    await watch.renew()
    clock.now_s += RETURN_S / 2
    await watch.renew()
    assert IRIS_KEY in watch.fleet.held
    clock.now_s += RETURN_S / 2
    await watch.renew()
    assert IRIS_KEY not in watch.fleet.held
