"""Caching of job queues."""

from __future__ import annotations

from typing import cast

from api.fleet.job_queues import KEPT_S, MOST_JOBS, SHORT, SUBMITTED_S, JobQueues
from shared.keys import ModelKey, model_key
from shared.ledger import AsyncLedger, QueueOrder, QueuePosition
from tests.unit.gateway_fakes import FakeClock

IRIS, QUALITY = model_key("iris", "1.0.0"), model_key("quality", "1.0.0")


class Ledger:
    """A fake ledger with a queue of so many jobs."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.reads = 0

    async def line(self, _key: ModelKey, *, most: int) -> QueueOrder:
        self.reads += 1
        standing = QueuePosition(job_id="a" * 32, served=0.0, priority=5, rows_left=1)
        return QueueOrder(now_ms=self.reads, jobs=(standing,) * min(self.jobs, most))


def orders_of(ledger: Ledger, clock: FakeClock) -> JobQueues:
    return JobQueues(cast(AsyncLedger, ledger), clock)


async def test_a_short_queue_is_read_for_every_response() -> None:
    ledger = Ledger(SHORT)
    orders = orders_of(ledger, FakeClock())
    assert [(await orders.of(IRIS)).now_ms for _ in range(3)] == [1, 2, 3]


async def test_a_queue_is_cached_in_proportion_to_its_length() -> None:
    ledger, clock = Ledger(MOST_JOBS // 2), FakeClock()
    orders = orders_of(ledger, clock)
    await orders.of(IRIS)
    clock.now_s += 0.49 * KEPT_S
    assert (await orders.of(IRIS)).now_ms == 1
    clock.now_s += 0.02 * KEPT_S
    assert (await orders.of(IRIS)).now_ms == 2


async def test_a_full_queue_is_read_twice_a_second_for_each_model_version() -> None:
    ledger, clock = Ledger(MOST_JOBS + 50), FakeClock()
    orders = orders_of(ledger, clock)
    assert [(await orders.of(IRIS)).now_ms for _ in range(3)] == [1, 1, 1]
    assert (await orders.of(QUALITY)).now_ms == 2
    clock.now_s += KEPT_S
    assert [(await orders.of(IRIS)).now_ms for _ in range(2)] == [3, 3]


async def test_a_queue_that_has_become_short_is_read_for_every_response_again() -> None:
    ledger, clock = Ledger(MOST_JOBS), FakeClock()
    orders = orders_of(ledger, clock)
    await orders.of(IRIS)
    ledger.jobs = 1
    clock.now_s += KEPT_S
    assert [(await orders.of(IRIS)).now_ms for _ in range(2)] == [2, 3]


async def test_a_queue_that_came_with_a_submission_is_not_read_for_its_response() -> None:
    ledger, clock = Ledger(SHORT), FakeClock()
    orders = orders_of(ledger, clock)
    orders.keep(IRIS, QueueOrder(now_ms=77, jobs=()))
    assert (await orders.of(IRIS)).now_ms == 77
    clock.now_s += 2 * SUBMITTED_S
    assert (await orders.of(IRIS)).now_ms == 1
