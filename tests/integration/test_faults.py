"""Parts are killed under load, and Redis fails: effects on clients, and recovery."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import keys
from shared.keys import model_key
from shared.ledger import ChunkRecord, ChunkState
from shared.ledger.serialization import chunks_from_hash
from tests.support.bodies import arrow_stream
from tests.support.callers import IRIS, finished, handed_over, predict_all
from tests.support.polling import eventually
from tests.support.samples import flowers
from tests.support.servers import Server, valkey_binary
from tests.support.stack import STARTS_S, Part, Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.faults]

ONLINE = keys.online(model_key("iris", "1.0.0"))
PREDICTION = {"prediction": "setosa", "confidence": 1.0, "model_version": "1.0.0"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A separate server, because the test stops it."""
    with Server(valkey_binary(), tmp_path) as started:
        yield started


@pytest.fixture
def stack(server: Server, models: Path, tmp_path: Path) -> Iterator[Stack]:
    """A gateway and a worker that holds iris, on that server."""
    with running(server.url, tmp_path, models="iris", lease_s="6", batch_limit_s="4") as started:
        started.gateway()
        started.worker("one")
        wait_until_ready(started)
        yield started


async def test_kill_9_of_one_of_two_workers_under_load_fails_no_request(stack: Stack) -> None:
    await asyncio.to_thread(stack.worker, "two")
    load = asyncio.create_task(predict_all(stack.url, [dict(IRIS)] * 1500, connections=64))
    async with httpx.AsyncClient(base_url=stack.url) as client:
        while not load.done() and (await client.post("/predict", json=IRIS)).status_code != 200:
            pass
    stack.parts["one"].kill()
    answers = await load
    assert {answer.status_code for answer in answers} == {200}
    assert {tuple(answer.json().items()) for answer in answers} == {tuple(PREDICTION.items())}


async def test_kill_9_of_the_only_worker_fails_requests_by_their_deadline_and_its_restart_heals(
    stack: Stack,
) -> None:
    load = asyncio.create_task(predict_all(stack.url, [dict(IRIS)] * 600, connections=64))
    stack.parts["one"].kill()
    answers = await load
    assert {answer.status_code for answer in answers} <= {200, 503, 504}
    for answer in answers:
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) >= 1
    stack.parts["one"].start()
    await asyncio.to_thread(stack.wait_for, "one")
    await asyncio.to_thread(wait_until_ready, stack)  # the gateway looks for workers twice a second
    answers = await predict_all(stack.url, [dict(IRIS)], connections=1)
    assert [answer.status_code for answer in answers] == [200]


async def test_requests_wait_for_a_killed_worker_though_its_heartbeat_expired(
    stack: Stack, server: Server
) -> None:
    stack.parts["one"].kill()
    with server.client() as client:
        await asyncio.to_thread(eventually, lambda: not list(client.scan_iter(keys.worker("one/*"))))
        async with httpx.AsyncClient(base_url=stack.url, verify=False, timeout=90) as http:
            waits = {"Prefer": "wait=60"}
            asked = [asyncio.create_task(http.post("/predict", json=IRIS, headers=waits)) for _ in range(20)]
            await asyncio.to_thread(eventually, lambda: client.xlen(ONLINE) == len(asked))
            stack.parts["one"].start()
            assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}


async def test_no_request_waits_for_a_worker_that_got_sigterm(stack: Stack) -> None:
    stack.parts["one"].end()
    async with httpx.AsyncClient(base_url=stack.url, verify=False) as client:

        async def refused() -> bool:
            answer = await client.post("/predict", json=IRIS, headers={"Prefer": "wait=1"})
            return answer.status_code == 503 and answer.json()["error"] == "model_not_loaded"

        limit_s = time.monotonic() + 3.0
        while not await refused():
            assert time.monotonic() < limit_s


async def test_redis_stopped_is_503_within_the_deadline_and_its_return_heals_both_programs(
    stack: Stack, server: Server
) -> None:
    before = stack.processes()
    load = asyncio.create_task(predict_all(stack.url, [dict(IRIS)] * 300, connections=16))
    server.stop()
    answers = await load
    assert {answer.status_code for answer in answers} <= {200, 503}
    [refused] = await predict_all(stack.url, [dict(IRIS)], connections=1)
    assert (refused.status_code, refused.json()["error"]) == (503, "queue_unavailable")
    assert int(refused.headers["retry-after"]) >= 1
    async with httpx.AsyncClient(base_url=stack.url) as client:
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/ready")).status_code == 503
    server.start()
    await asyncio.to_thread(wait_until_ready, stack)
    [answer] = await predict_all(stack.url, [dict(IRIS)], connections=1)
    assert answer.json() == PREDICTION
    assert stack.processes() == before


def test_a_job_ends_although_its_worker_was_killed_three_times_with_the_identical_result(
    server: Server, models: Path, tmp_path: Path
) -> None:
    # the model's own framework: a compiled forest would end the job before the third kill
    rows, short = (
        1_200_000,
        {"lease_s": "3", "batch_limit_s": "1.5", "chunk_rows": "10000", "runtime": "native"},
    )
    with running(server.url, tmp_path, models="iris", **short) as stack, stack.client() as http:
        stack.gateway()
        worker = stack.worker("one")
        body = b"".join(arrow_stream(flowers(20_000), rows))
        undisturbed = finished(http, handed_over(http, "iris", [body]))
        location = handed_over(http, "iris", [body])
        done = 0
        for _ in range(3):
            done = eventually(partial(rows_past, http, location, done), limit_s=STARTS_S)
            worker.kill()
            assert http.get(location).json()["state"] == "running"
            worker.start()
        job = finished(http, location)
        assert (job["state"], job["rows_succeeded"], job["rows_failed"]) == ("succeeded", rows, 0)
        assert as_csv(http, job) == as_csv(http, undisturbed)
        chunks = http.get(job["links"]["manifest"]).json()["chunks"]
        assert sum(chunk["attempts"] for chunk in chunks) > len(chunks)  # a kill may fall between two chunks


def test_a_chunk_of_a_killed_worker_is_claimed_long_before_its_default_lease_is_over(
    server: Server, models: Path, tmp_path: Path
) -> None:
    rows = 1_500_000
    # the model's own framework: a compiled forest would end the job before a worker is caught with a chunk
    slow = {"chunk_rows": "20000", "runtime": "native"}
    with running(server.url, tmp_path, models="iris", **slow) as stack, stack.client() as http:
        stack.gateway()
        for name in ("one", "two"):
            stack.worker(name, wait=False)
        for name in ("one", "two"):
            stack.wait_for(name)
        stack.parts["two"].pause()  # so that the first chunks are the other's
        location = handed_over(http, "iris", arrow_stream(flowers(20_000), rows))
        lost = eventually(
            partial(stopped_with_chunks, server, location, stack.parts["one"]), limit_s=STARTS_S
        )
        stack.parts["two"].go_on()
        stack.parts["one"].kill()
        eventually(lambda: not held_chunks(server, location, "one"), limit_s=20.0)
        eventually(lambda: lost <= {c.index for c in chunks_of(server, location) if of(c, "two")})
        job = finished(http, location)
    assert (job["state"], job["rows_succeeded"], job["rows_failed"]) == ("succeeded", rows, 0)


def stopped_with_chunks(server: Server, location: str, worker: Part) -> set[int]:
    """Stop a worker where it stands, with chunks in hand and others waiting. → those it holds; where it
    holds none, it goes on"""
    worker.pause()
    held = held_chunks(server, location, worker.name)
    held &= held_chunks(server, location, worker.name)  # it may have sent its commit
    if not held or all(chunk.state is not ChunkState.READY for chunk in chunks_of(server, location)):
        worker.go_on()
        return set()
    return held


def held_chunks(server: Server, location: str, worker: str) -> set[int]:
    chunks = chunks_of(server, location)
    return {c.index for c in chunks if c.state is ChunkState.LEASED and of(c, worker)}


def chunks_of(server: Server, location: str) -> list[ChunkRecord]:
    with server.client() as client:
        return chunks_from_hash(client.hgetall(keys.job_chunks(location.rsplit("/", 1)[-1])))


def of(chunk: ChunkRecord, worker: str) -> bool:
    """Whether a worker of this name has leased or completed the chunk."""
    return chunk.worker.startswith(f"{worker}/")


def rows_past(http: httpx.Client, location: str, done: int) -> int:
    """The rows that have run, once there are more; else 0."""
    now_done: int = http.get(location).json()["rows_succeeded"]
    return now_done if now_done > done else 0


def as_csv(http: httpx.Client, job: dict[str, Any]) -> bytes:
    return http.get(job["links"]["results"], params={"format": "csv"}).raise_for_status().content


def test_a_job_ends_although_redis_was_killed(stack: Stack, server: Server) -> None:
    with stack.client() as http:
        rows = [[5.1, 3.5, 1.4, 0.2]] * 60_000
        location = http.post("/jobs", json={"model": "iris", "inputs": rows}).headers["Location"]
        server.stop()
        server.start()
        job = finished_again(http, location)
    assert (job["state"], job["rows_succeeded"]) == ("succeeded", 60_000)


def finished_again(http: httpx.Client, location: str) -> dict[str, object]:
    """A job once it has ended, through the time in which the gateway finds its server again."""
    eventually(lambda: http.get(location).is_success)
    return finished(http, location)


async def test_sigterm_to_the_gateway_answers_what_it_took(stack: Stack, server: Server) -> None:
    gateway, worker = stack.parts["gateway"], stack.parts["one"]
    worker.pause()  # so that all of them wait as their gateway is told to stop
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as client:
        requests = [asyncio.create_task(client.post("/predict", json=IRIS)) for _ in range(50)]
        with server.client() as admin:

            def all_came() -> bool:  # some may be refused: the worker is not heard any more
                return len(requests) == int(admin.xlen(ONLINE)) + sum(task.done() for task in requests)

            await asyncio.to_thread(eventually, all_came)
        taken = [task for task in requests if not task.done()]
        gateway.tell(signal.SIGTERM)
        worker.go_on()
        answers = await asyncio.gather(*taken)
        await asyncio.gather(*requests)
    assert {answer.status_code for answer in answers} == {200}
    assert await asyncio.to_thread(gateway.ended) == 0


def test_sigterm_to_a_worker_hands_its_chunk_back_and_another_finishes_the_job(
    stack: Stack, server: Server
) -> None:
    worker, rows = stack.parts["one"], 4_000_000
    with stack.client() as http:
        worker.pause()  # else the job would be nearly done before it is submitted
        location = handed_over(http, "iris", arrow_stream(flowers(20_000), rows))
        worker.go_on()
        eventually(partial(stopped_with_chunks, server, location, worker))
        worker.tell(signal.SIGTERM)
        worker.go_on()
        assert worker.ended() == 0
        assert not stack.serves("one")
        assert held_chunks(server, location, "one") == set()
        assert http.get(location).json()["state"] == "running"
        stack.worker("two")
        job = finished(http, location)
    assert (job["state"], job["rows_succeeded"]) == ("succeeded", rows)
