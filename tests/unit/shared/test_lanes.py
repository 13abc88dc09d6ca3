"""Lanes: waiting work, running work, and the age of the oldest work."""

from __future__ import annotations

import redis

from shared import keys
from shared.keys import ModelKey, model_key
from shared.lanes import (
    MOST_JOBS,
    JobQueue,
    Lanes,
    ModelLanes,
    OfflineQueue,
    Stream,
    offline_lane,
    online_lane,
    read_lanes,
)
from tests.support.ledgers import IRIS, House
from tests.support.polling import eventually

QUALITY = model_key("quality", "2.1.0")


def read(house: House, **entry_rows: float) -> Lanes:
    sizes = {ModelKey(key): rows for key, rows in entry_rows.items()}
    return house.ask(read_lanes, house.clients.gateway, {IRIS: 1.0} | sizes)


def send(house: House, count: int, key: ModelKey = IRIS) -> None:
    """Add requests as a gateway does."""
    for _ in range(count):
        house.clients.threads.xadd(keys.online(key), {"m": b"what it carries", "r": 1})


def hand_out(house: House, count: int) -> None:
    """A worker reads requests."""
    client = house.clients.threads
    client.xgroup_create(keys.online(IRIS), keys.WORKER_GROUP, id="0", mkstream=True)
    client.xreadgroup(keys.WORKER_GROUP, "w:1", {keys.online(IRIS): ">"}, count=count)


def test_a_model_version_that_was_asked_for_is_told_of_also_where_nothing_waits(house: House) -> None:
    assert read(house).models == {IRIS: ModelLanes()}


def test_requests_wait_from_when_they_are_sent(house: House) -> None:
    send(house, 3)
    assert read(house).of(IRIS).online.requests == 3


def test_requests_that_a_worker_was_handed_run_and_do_not_wait(house: House) -> None:
    send(house, 5)
    hand_out(house, 2)
    online = read(house).of(IRIS).online
    assert (online.requests, online.running_requests) == (3, 2)


def test_a_request_that_nobody_has_answered_ages_by_the_servers_clock(house: House) -> None:
    send(house, 1)
    hand_out(house, 1)
    first = read(house).of(IRIS).online.oldest_s
    eventually(lambda: read(house).of(IRIS).online.oldest_s > first, limit_s=20)


def test_the_rows_of_requests_are_estimated_by_their_size_lately(house: House) -> None:
    send(house, 4, QUALITY)
    assert read(house, **{QUALITY: 2.5}).of(QUALITY).online.rows == 10


def test_requests_that_were_taken_back_do_not_make_the_rest_negative() -> None:
    assert online_lane(Stream(entries=1, handed=1, oldest_id="1000-0"), 1.0, 1500).requests == 0


def test_chunks_of_jobs_wait_until_they_are_claimed(house: House) -> None:
    house.submit(10, 10, 4)
    house.submit(6)
    offline = read(house).of(IRIS).offline
    assert (offline.jobs, offline.chunks, offline.rows) == (2, 4, 30)


def test_chunks_that_workers_hold_run_and_do_not_wait(house: House) -> None:
    house.submit(10, 10)
    house.claim()
    offline = read(house).of(IRIS).offline
    assert (offline.chunks, offline.rows, offline.running_chunks, offline.running_rows) == (1, 10, 1, 10)


def test_a_job_whose_last_chunk_runs_is_still_told_of(house: House) -> None:
    house.submit(10)
    house.claim()
    offline = read(house).of(IRIS).offline
    assert (offline.jobs, offline.running_chunks) == (0, 1)
    assert not read(house).of(IRIS).idle


def test_the_lease_of_an_upload_is_no_chunk_that_runs(house: House) -> None:
    house.open()
    assert read(house).of(IRIS).idle


def test_a_lease_that_nobody_can_read_is_passed_over(house: House) -> None:
    house.clients.threads.zadd(keys.leases(), {"torn": 1})
    assert read(house).of(IRIS).idle


def test_a_paused_job_waits_for_nobody(house: House) -> None:
    job_id = house.submit(10)
    house.ask(house.gateway.pause, job_id)
    assert read(house).of(IRIS).offline == OfflineQueue()


def test_a_model_version_that_nobody_asked_for_is_told_of_while_its_jobs_wait(house: House) -> None:
    house.submit(10, model="quality", version="2.1.0")
    assert read(house).of(QUALITY).offline.jobs == 1
    assert house.worker.claim(QUALITY)
    assert QUALITY in read(house).models
    house.clients.threads.delete(keys.leases())
    assert QUALITY not in read(house).models


def test_a_job_whose_record_is_gone_is_passed_over(house: House) -> None:
    lost, kept = house.submit(10), house.submit(20)
    house.clients.threads.delete(keys.job(lost))
    offline = read(house).of(IRIS).offline
    assert kept
    assert offline.jobs == 2  # it stands in the line until a worker comes upon it
    assert offline.rows == 20


def test_the_oldest_job_is_told_by_when_it_was_opened(house: House) -> None:
    client: redis.Redis = house.clients.threads
    old, _ = house.submit(10), house.submit(10)
    opened_at_ms = house.read(old).created_at_ms
    client.hset(keys.job(old), "created_at_ms", opened_at_ms - 60_000)
    assert 60 <= read(house).of(IRIS).offline.oldest_s < 120


def test_of_a_long_line_those_that_were_not_looked_at_count_as_the_mean() -> None:
    line = JobQueue(jobs=10, looked_at=2, ready_chunks=6, ready_rows=60, oldest_at_ms=1000)
    offline = offline_lane(line, [], now_ms=2000)
    assert (offline.jobs, offline.chunks, offline.rows, offline.oldest_s) == (10, 30, 300, 1.0)


def test_no_more_of_a_line_is_looked_at_than_is_allowed(house: House) -> None:
    client = house.clients.threads
    for n in range(MOST_JOBS + 10):
        client.zadd(keys.active(IRIS), {f"j{n}": n})
        client.zadd(keys.job_ready(f"j{n}"), {"0": 0})
        client.hset(keys.job(f"j{n}"), mapping={"rows_accepted": 5, "chunks_total": 1, "created_at_ms": 1})
    client.hset(keys.clocks(), IRIS, 0)
    client.delete(*(keys.job(f"j{n}") for n in range(MOST_JOBS, MOST_JOBS + 10)))
    offline = read(house).of(IRIS).offline
    assert (offline.jobs, offline.chunks, offline.rows) == (
        MOST_JOBS + 10,
        MOST_JOBS + 10,
        5 * MOST_JOBS + 50,
    )


def test_an_age_is_never_negative() -> None:
    assert online_lane(Stream(1, 0, "5000-0"), 1.0, now_ms=4000).oldest_s == 0.0
