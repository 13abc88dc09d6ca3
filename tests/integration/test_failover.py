"""A Sentinel-managed pair fails over: gateway, worker and Celery find the new primary by themselves."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from kombu.entity import Queue
from kombu.message import Message

from shared import keys
from shared.connections import broker_of
from shared.keys import model_key
from tests.integration.test_consumption import notify
from tests.support.callers import IRIS, finished, predict_all
from tests.support.sentinels import SentinelPair, sentinel_pair
from tests.support.servers import valkey_binary
from tests.support.stack import Stack, running, wait_until_ready
from worker.broker.transport import BrokerConnection

pytestmark = [pytest.mark.integration, pytest.mark.faults]

KEY = model_key("nobodys", "1.0.0")
ROWS = [[5.1, 3.5, 1.4, 0.2]] * 60_000
FAST_S = 8.0
"""Less than the 10 s wait of a request without a notification."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelPair]:
    with sentinel_pair(valkey_binary(), tmp_path_factory.mktemp("pair")) as started:
        yield started


@pytest.fixture(scope="module")
def stack(pair: SentinelPair, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("failover")
    with running(pair.url, folder, models="iris", lease_s="6", batch_limit_s="4") as started:
        started.gateway()
        started.worker("one")
        wait_until_ready(started)
        yield started


def test_roles_exchanged_by_sentinel_lose_no_job_and_restart_no_program(
    stack: Stack, pair: SentinelPair
) -> None:
    before = stack.processes()
    with stack.client() as http:
        location = http.post("/jobs", json={"model": "iris", "inputs": ROWS}).headers["Location"]
        pair.fail_over()
        wait_until_ready(stack, limit_s=60)
        job = finished(http, location, limit_s=120, outage=True)
        assert (job["state"], job["rows_succeeded"]) == ("succeeded", len(ROWS))
        assert http.post("/predict", json=IRIS).status_code == 200
    assert stack.processes() == before


def test_a_channel_to_a_former_primary_closes_with_an_unacknowledged_doorbell(pair: SentinelPair) -> None:
    with pair.primary.client() as client:
        notify(client, KEY)
    taken: list[Message] = []
    broker = broker_of(pair.url)
    connection: Any = BrokerConnection(broker.url, transport_options=dict(broker.options))  # type: ignore[no-untyped-call]  # kombu publishes no types
    queue = Queue(keys.offline_queue(KEY))  # type: ignore[no-untyped-call]
    with connection.Consumer([queue], on_message=taken.append, prefetch_count=1):
        while not taken:
            connection.drain_events(timeout=20)
    pair.fail_over()
    closing = threading.Thread(target=connection.collect, daemon=True)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()


async def test_a_primary_that_is_killed_is_replaced_and_online_calls_fail_fast_meanwhile(
    stack: Stack, pair: SentinelPair
) -> None:
    before = stack.processes()
    wait_until_ready(stack)
    await asyncio.to_thread(pair.primary.kill)
    killed_s = time.monotonic()
    [refused] = await predict_all(stack.url, [dict(IRIS)], connections=1)
    assert (refused.status_code, refused.json()["error"]) == (503, "queue_unavailable")
    assert time.monotonic() - killed_s < FAST_S
    async with httpx.AsyncClient(base_url=stack.url) as client:
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/ready")).status_code == 503
    await asyncio.to_thread(wait_until_ready, stack, limit_s=90)
    print(f"ready {time.monotonic() - killed_s:.1f} s after the primary was killed")  # noqa: T201
    with stack.client() as http:
        answer = http.post("/jobs", json={"model": "iris", "inputs": ROWS})
        assert answer.status_code == 202, answer.text
        job = finished(http, answer.headers["Location"])
    assert (job["state"], job["rows_succeeded"]) == ("succeeded", len(ROWS))
    assert stack.processes() == before
