"""`GET /history/hours`: ended jobs and requests by hour, counted once, in bounded memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from api.gateway import Gateway
from shared import keys
from shared.history import Count, count_field, latency_bucket, latency_field
from shared.hourly_history import HOURS, KEPT_S, add_requests, hour_of, hours_until
from shared.keys import ModelKey
from shared.ledger import AsyncLedger, NewJob, new_job_id
from tests.unit.gateway_fakes import FakeRedis, running_gateway

KEY = ModelKey("iris@1.0.0")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient, FakeRedis]]:
    client = FakeRedis()
    async with running_gateway(client, tmp_path) as (gateway, http):
        yield gateway, http, client


async def ended(client: FakeRedis, *, failed: bool) -> None:
    ledger = AsyncLedger(client, lambda *_: None)
    job = NewJob(id=new_job_id(), model="iris", version="1.0.0", digest="d", owner="anonymous")
    await ledger.open_job(job)
    if failed:
        await ledger.fail_job(job.id, "upload_interrupted", "the client left")
    else:
        await ledger.seal(job.id)  # without rows, it succeeds at once


async def test_ended_jobs_are_counted_in_their_hour(
    stage: tuple[Gateway, httpx.AsyncClient, FakeRedis],
) -> None:
    _, http, client = stage
    for failed in (False, False, True):
        await ended(client, failed=failed)
    found = (await http.get("/history/hours", params={"days": 2})).json()
    assert len(found["hours"]) == 48
    iris = found["models"][KEY]
    assert (sum(iris["jobs_succeeded"]), sum(iris["jobs_failed"])) == (2, 1)
    [median_s] = [value for value in iris["median_s"] if value is not None]
    [longest_s] = [value for value in iris["longest_s"] if value is not None]
    assert 0 < median_s < 5
    assert 0 < longest_s < 5
    assert found["total"] == iris


async def test_requests_are_added_with_their_latencies(
    stage: tuple[Gateway, httpx.AsyncClient, FakeRedis],
) -> None:
    _, http, client = stage
    seconds, _ = await client.time()
    pipeline = client.pipeline()
    counts = {
        count_field(KEY, Count.REQUESTS): 10,
        count_field(KEY, Count.ERRORS): 1,
        count_field(KEY, Count.ROWS): 500,
        latency_field(KEY, latency_bucket(3.0)): 9,
        latency_field(KEY, latency_bucket(100.0)): 1,
    }
    add_requests(pipeline, seconds, counts)
    await pipeline.execute()
    assert 0 < await client.ttl(keys.hour(str(hour_of(seconds)))) <= KEPT_S
    iris = (await http.get("/history/hours", params={"model": "iris"})).json()["models"][KEY]
    assert (iris["requests"][-1], iris["errors"][-1]) == (10, 1)
    assert 100 <= iris["p99_ms"][-1] <= 180
    other = (await http.get("/history/hours", params={"model": "quality"})).json()
    assert other["models"] == {}


def test_thirty_days_are_read_and_a_day_more_is_kept() -> None:
    starts = hours_until(1_800_000_123)
    assert len(starts) == HOURS
    assert starts[-1] == hour_of(1_800_000_123)
    assert KEPT_S == 31 * 86_400
