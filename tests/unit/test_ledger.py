"""The ledger's promises, on the fake server and on the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio

from shared import keys
from shared.errors import JobNotFound
from shared.keys import ModelKey, model_key
from shared.ledger import AsyncLedger, ChunkState, Claim, JobState, Ledger, NewJob, Outcome, new_job_id
from tests.support.polling import eventually

IRIS = model_key("iris", "1.0.0")


class Clients:
    """Both kinds of client for one empty server."""

    def __init__(self, server: str, request: pytest.FixtureRequest) -> None:
        if server == "fakeredis":
            fake = fakeredis.FakeServer()
            self.threads: redis.Redis = fakeredis.FakeRedis(server=fake)
            self.asyncio: Callable[[], redis.asyncio.Redis] = partial(fakeredis.FakeAsyncRedis, server=fake)
        else:
            url = request.getfixturevalue(server).url
            self.threads = redis.Redis.from_url(url)
            self.asyncio = partial(redis.asyncio.Redis.from_url, url)
        self.threads.flushdb()


class House:
    """A gateway's and a worker's ledger on one server, and the doorbells that they rang."""

    def __init__(self, clients: Clients, *, lease_s: float = 30.0, max_attempts: int = 3) -> None:
        self._clients = clients
        self._lease_s = lease_s
        self.rung: list[tuple[ModelKey, int]] = []
        self.worker = Ledger(
            clients.threads, self._ring, worker="w:1", lease_s=lease_s, max_attempts=max_attempts
        )

    def _ring(self, key: ModelKey, count: int) -> None:
        self.rung.append((key, count))

    async def _with_ledger(self, call: str, *args: Any) -> Any:
        async with self._clients.asyncio() as client:
            return await getattr(AsyncLedger(client, self._ring, lease_s=self._lease_s), call)(*args)

    def ask(self, call: str, *args: Any) -> Any:
        """One call of the gateway's ledger."""
        return asyncio.run(self._with_ledger(call, *args))

    def open(self, *, priority: int = 5) -> NewJob:
        job = NewJob(
            id=new_job_id(), model="iris", version="1.0.0", digest="d", owner="anonymous", priority=priority
        )
        self.ask("open_job", job)
        return job

    def submit(self, *rows: int, priority: int = 5) -> str:
        job = self.open(priority=priority)
        self.ask("append_chunks", job.id, job.key, rows)
        self.ask("seal", job.id)
        return job.id

    def claim(self) -> Claim:
        held = self.worker.claim(IRIS)
        assert held is not None
        return held

    def commit(self, held: Claim, *, failed: int = 0) -> Outcome:
        return self.worker.commit(IRIS, held, rows_succeeded=held.rows - failed, rows_failed=failed)


@pytest.fixture(
    params=[
        "fakeredis",
        pytest.param("valkey", marks=pytest.mark.integration),
        pytest.param("redis7", marks=pytest.mark.integration),
    ]
)
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    made = Clients(request.param, request)
    yield made
    made.threads.close()


@pytest.fixture
def house(clients: Clients) -> House:
    return House(clients)


def test_a_job_exists_before_its_rows_do(house: House) -> None:
    job = house.open()
    record = house.ask("read", job.id)
    assert (record.state, record.rows_total, record.rows_accepted) == (JobState.UPLOADING, None, 0)


def test_an_unknown_job_is_not_found(house: House) -> None:
    with pytest.raises(JobNotFound):
        house.ask("read", "nobody")


def test_chunks_run_before_the_upload_ends_and_the_job_ends_after_both(house: House) -> None:
    job = house.open()
    house.ask("append_chunks", job.id, job.key, [10])
    assert house.commit(house.claim()) is Outcome.COMMITTED
    assert house.ask("read", job.id).state is JobState.UPLOADING
    assert house.ask("seal", job.id).state is JobState.SUCCEEDED


def test_a_job_goes_from_queued_over_running_to_succeeded(house: House) -> None:
    job_id = house.submit(10, 20)
    assert house.ask("read", job_id).state is JobState.QUEUED
    first, second = house.claim(), house.claim()
    assert house.ask("read", job_id).state is JobState.RUNNING
    house.commit(first)
    house.commit(second, failed=3)
    record = house.ask("read", job_id)
    assert (record.state, record.rows_total) == (JobState.SUCCEEDED, 30)
    assert (record.rows_succeeded, record.rows_failed) == (27, 3)
    assert record.finished_at_ms >= record.started_at_ms >= record.created_at_ms


def test_every_chunk_is_claimed_once_and_in_order(house: House) -> None:
    house.submit(1, 2, 3)
    assert [house.claim().rows for _ in range(3)] == [1, 2, 3]
    assert house.worker.claim(IRIS) is None


def test_a_second_commit_counts_nothing_twice(house: House) -> None:
    job_id = house.submit(10)
    held = house.claim()
    assert [house.commit(held), house.commit(held)] == [Outcome.COMMITTED, Outcome.REPEATED]
    assert house.ask("read", job_id).rows_succeeded == 10


def test_an_expired_lease_brings_its_chunk_back_and_fences_the_late_worker(clients: Clients) -> None:
    house = House(clients, lease_s=0.001)
    job_id = house.submit(10)
    late = house.claim()
    current = eventually(lambda: house.worker.expire() or house.worker.claim(IRIS))
    assert isinstance(current, Claim)
    assert (current.index, current.attempt) == (late.index, 2)
    assert not house.worker.renew(late)
    assert house.commit(late) is Outcome.LOST
    assert house.commit(current) is Outcome.COMMITTED
    assert house.ask("chunks", job_id)[0].token == current.token


def test_a_renewed_lease_does_not_expire(house: House) -> None:
    house.submit(10)
    held = house.claim()
    assert house.worker.renew(held)
    house.worker.expire()
    assert house.worker.claim(IRIS) is None


def test_attempts_past_the_limit_fail_the_chunk_with_its_reason(clients: Clients) -> None:
    house = House(clients, lease_s=0.001, max_attempts=2)
    job_id = house.submit(10, 5)
    survivor: list[Claim] = []

    def give_up() -> bool:
        house.worker.expire()
        held = house.worker.claim(IRIS)
        if held and held.index == 1 and house.commit(held) is Outcome.COMMITTED:
            survivor.append(held)
        return bool(house.ask("read", job_id).state.ended)

    eventually(give_up)
    record = house.ask("read", job_id)
    failed, done = house.ask("chunks", job_id)
    assert (record.state, record.rows_failed, record.rows_succeeded) == (JobState.SUCCEEDED, 10, 5)
    assert (failed.state, failed.error) == (ChunkState.FAILED, "tried 2 times; no worker finished it")
    assert done.state is ChunkState.DONE
    assert survivor


def test_a_worker_that_hands_back_is_not_blamed(house: House) -> None:
    house.submit(10)
    house.worker.hand_back(IRIS, house.claim(), at_fault=False)
    held = house.claim()
    assert held.attempt == 1
    house.worker.hand_back(IRIS, held, at_fault=True)
    assert house.claim().attempt == 2


def test_an_upload_that_breaks_off_fails_its_job(clients: Clients) -> None:
    house = House(clients, lease_s=0.001)
    job = house.open()
    house.ask("append_chunks", job.id, job.key, [10])
    assert eventually(house.worker.expire) == [job.id]
    record = house.ask("read", job.id)
    assert (record.state, record.error.code) == (JobState.FAILED, "upload_interrupted")
    assert house.worker.claim(IRIS) is None
    with pytest.raises(JobNotFound):
        house.ask("append_chunks", job.id, job.key, [10])


def test_a_small_job_is_not_starved_by_a_large_one(house: House) -> None:
    house.submit(*[1000] * 20)
    for _ in range(5):
        house.commit(house.claim())
    small = house.submit(10)
    assert small in {house.claim().job_id for _ in range(2)}


def test_priority_is_a_weight(house: House) -> None:
    low, high = house.submit(*[100] * 30, priority=0), house.submit(*[100] * 30, priority=4)
    claimed = [house.claim().job_id for _ in range(30)]
    assert claimed.count(high) == pytest.approx(5 * claimed.count(low), abs=5)
    assert low in claimed


def test_a_job_that_failed_takes_no_commit(house: House) -> None:
    job_id = house.submit(10, 10)
    held = house.claim()
    assert house.ask("fail_job", job_id, "too_many_errors", "more than allowed")
    assert not house.ask("fail_job", job_id, "again", "")
    assert house.commit(held) is Outcome.LOST
    assert house.ask("read", job_id).state is JobState.FAILED


def test_a_commit_rings_while_anything_is_ready(house: House) -> None:
    house.submit(10, 10)
    house.rung.clear()
    house.commit(house.claim())
    assert house.rung == [(IRIS, 1)]
    house.commit(house.claim())
    assert house.rung == [(IRIS, 1)]


def test_the_ready_chunks_of_every_model_version_are_known(house: House, clients: Clients) -> None:
    house.submit(1, 1, 1)
    assert house.worker.ready() == {IRIS: 3}
    while held := house.worker.claim(IRIS):
        house.commit(held)
    assert house.worker.ready() == {}
    assert not clients.threads.zcard(keys.leases())
