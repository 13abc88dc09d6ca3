"""Owners share a running stack: a job beside a thousand, a few predictions beside a flood."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

import httpx
import pytest

from bench.paced import MODEL, paced_repository
from shared import keys
from tests.support.access import Holder, holder, keep_now
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import Stack, running, wait_until_ready

pytestmark = pytest.mark.integration

ROW_MS = 2.0
A, B = holder("a"), holder("b")


@pytest.fixture(scope="module")
def paced(queue: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway that asks for keys, and a worker that does 500 rows/s."""
    folder = tmp_path_factory.mktemp("paced")
    models = paced_repository(folder, pace_ms=ROW_MS)
    with queue.client() as client:
        keep_now(client, A, B)
    settings = {"models_dir": str(models), "default_model": MODEL, "access": "keys", "chunk_rows": "100"}
    with running(queue.url, folder, **settings) as stack:
        stack.gateway()
        stack.worker("paced")
        wait_until_ready(stack)
        yield stack


def submitted(http: httpx.Client, key: Holder, rows: int) -> str:
    document = {"model": MODEL, "inputs": [[1.0]] * rows}
    return str(http.post("/jobs", json=document, headers=key.headers).raise_for_status().json()["id"])


def took_s(queue: Server, job_id: str) -> float:
    """From its creation to its end, by the ledger."""
    with queue.client() as client:
        eventually(lambda: client.hexists(keys.job(job_id), "finished_at_ms"), limit_s=120, every_s=0.05)
        times: Any = client.hmget(keys.job(job_id), ["created_at_ms", "finished_at_ms"])
    created_ms, finished_ms = map(int, times)
    return (finished_ms - created_ms) / 1000


@pytest.mark.parametrize(("rows", "most"), [(20, 3.5), (600, 2.5)])
def test_a_job_beside_a_thousand_of_another_owner_takes_twice_its_time_alone(
    paced: Stack, queue: Server, rows: int, most: float
) -> None:
    """Jobs of a chunk, and of six. A job also waits for the two chunks that the worker has in hand, so that
    a job of n chunks takes about 2 + 2/n times its time alone."""
    with paced.client(timeout_s=60) as http:
        alone_s = median(took_s(queue, submitted(http, B, rows)) for _ in range(3))
        with ThreadPoolExecutor(8) as pool:
            many = list(pool.map(lambda _: submitted(http, A, rows), range(1000)))
        beside_s = median(took_s(queue, submitted(http, B, rows)) for _ in range(3))
        behind = http.get(f"/jobs/{many[-1]}", headers=A.headers).json()
        assert behind["state"] in ("queued", "running")
        assert behind["rows_succeeded"] < rows
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda job_id: http.post(f"/jobs/{job_id}/cancel", headers=A.headers), many))
    print(f"alone {alone_s} s, beside {beside_s} s")  # noqa: T201 - the figures
    assert beside_s <= most * alone_s, (beside_s, alone_s)


async def test_a_few_predictions_are_answered_in_another_owners_flood(paced: Stack) -> None:
    flood = Flood()
    client = httpx.AsyncClient(base_url=paced.url, timeout=30, limits=MANY, verify=False)
    async with client as http, asyncio.TaskGroup() as tasks:
        flooding = [tasks.create_task(flood.connection(http)) for _ in range(64)]
        async with asyncio.timeout(60):
            await flood.rages.wait()
        await sent_evenly(http, 10)  # the queue is as the flood alone had filled it
        before = flood.answered
        statuses = await sent_evenly(http, 50)
        for one in flooding:
            one.cancel()
    assert flood.answered > before
    assert statuses.count(200) >= 0.95 * len(statuses), Counter(statuses)


WAIT = {"Prefer": "wait=5"}
MANY = httpx.Limits(max_connections=200)


class Flood:
    """Owner A, at once and again."""

    def __init__(self) -> None:
        self.answered = self.refused = 0
        self.rages = asyncio.Event()
        """Set when requests are rejected."""

    async def connection(self, http: httpx.AsyncClient) -> None:
        inputs = {"inputs": [[1.0]] * 50}
        while True:
            answer = await http.post("/predict/batch", json=inputs, headers=A.headers | WAIT)
            self.answered += answer.status_code == 200
            self.refused += answer.status_code == 503
            if self.refused > 100 and self.answered:
                self.rages.set()
            await asyncio.sleep(0.02 if answer.status_code == 503 else 0)


async def sent_evenly(http: httpx.AsyncClient, requests: int) -> list[int]:
    """Five predictions of owner B a second. Returns their statuses."""
    async with asyncio.TaskGroup() as tasks:
        sent = []
        for _ in range(requests):
            sent.append(tasks.create_task(http.post("/predict", json={"x": 1.0}, headers=B.headers | WAIT)))
            await asyncio.sleep(0.2)
    return [one.result().status_code for one in sent]
