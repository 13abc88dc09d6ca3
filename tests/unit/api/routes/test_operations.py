"""Endpoints for operators and autoscalers: workers, lanes, and the recommended number of workers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.exceptions import RedisError

from api.fleet.waiting_work import FRESH_S, LaneWatch
from api.gateway import Gateway
from shared import keys
from shared.keys import model_key
from shared.ledger import AsyncLedger, NewJob, new_job_id
from tests.unit.gateway_fakes import IRIS, IRIS_KEY, WORKER, FakeClock, FakeRedis, FakeWorker, running_gateway


@dataclass
class Stage:
    gateway: Gateway
    http: httpx.AsyncClient
    client: FakeRedis
    worker: FakeWorker

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = await self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def serve(self, rows_per_s: float = 100.0) -> None:
        await self.worker.beat(rows_per_s=rows_per_s)
        await self.gateway.fleet.watch.renew()

    async def hand_over(self, *rows: int) -> None:
        """Submit a job with chunks of these row counts. No worker runs it."""
        ledger = AsyncLedger(self.client, lambda *_: None)
        job = NewJob(id=new_job_id(), model="iris", version="1.0.0", digest="d", owner="anonymous")
        await ledger.open_job(job)
        await ledger.append_chunks(job.id, job.key, rows)
        await ledger.seal(job.id)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    client = FakeRedis()
    async with running_gateway(client, tmp_path) as (gateway, http):
        yield Stage(gateway, http, client, FakeWorker(client, IRIS))


async def test_without_workers_none_is_listed(stage: Stage) -> None:
    assert await stage.get("/workers") == {"workers": [], "silent": []}


async def test_a_worker_is_listed_with_what_it_holds(stage: Stage) -> None:
    await stage.serve(rows_per_s=250.0)
    [worker] = (await stage.get("/workers"))["workers"]
    assert (worker["id"], worker["name"], worker["state"], worker["drained"]) == (
        WORKER,
        "fake",
        "serving",
        False,
    )
    [held] = worker["models"]
    assert (held["model"], held["version"], held["online_rows_per_s"]) == ("iris", "1.0.0", 250.0)
    assert worker["last_seen_at"].startswith("1970-01-01T00:00:00")  # as the stand-in says


async def test_every_declared_model_version_has_its_lanes(stage: Stage) -> None:
    found = await stage.get("/lanes")
    assert [f"{lane['model']}@{lane['version']}" for lane in found["lanes"]] == sorted(
        stage.gateway.catalog.keys
    )
    assert all(lane["holders"] == 0 for lane in found["lanes"])


async def test_what_waits_stands_in_its_lane(stage: Stage) -> None:
    await stage.hand_over(10, 20)
    await stage.client.xadd(keys.online(IRIS_KEY), {"m": b"x", "r": 1})
    [lane] = [one for one in (await stage.get("/lanes"))["lanes"] if one["model"] == "iris"]
    assert (lane["offline"]["jobs_waiting"], lane["offline"]["rows_waiting"]) == (1, 30)
    assert (lane["online"]["requests_waiting"], lane["online"]["rows_waiting"]) == (1, 1)


async def test_who_asks_within_half_a_second_is_answered_by_the_same_look() -> None:
    client, clock = FakeRedis(), FakeClock()
    watch = LaneWatch(client, lambda: {IRIS_KEY: 1.0}, clock)
    assert (await watch.lanes()).of(IRIS_KEY).online.requests == 0
    await client.xadd(keys.online(IRIS_KEY), {"m": b"x", "r": 1})
    clock.now_s += FRESH_S / 2
    assert (await watch.lanes()).of(IRIS_KEY).online.requests == 0
    clock.now_s += FRESH_S / 2
    assert (await watch.lanes()).of(IRIS_KEY).online.requests == 1


async def test_an_autoscaler_reads_how_many_workers_are_wanted(stage: Stage) -> None:
    await stage.hand_over(10)
    found = await stage.get("/scaling/iris")
    assert (found["wanted_workers"], found["live_workers"], found["rows_waiting"]) == (1, 0, 10)


async def test_the_bounds_of_the_autoscaler_hold(stage: Stage) -> None:
    assert (await stage.get("/scaling/iris", min_workers=3))["wanted_workers"] == 3
    await stage.hand_over(10)
    assert (await stage.get("/scaling/iris", max_workers=0))["wanted_workers"] == 0


async def test_a_version_and_all_models_can_be_asked_for(stage: Stage) -> None:
    await stage.serve()
    await stage.hand_over(10)
    of_version = await stage.get("/scaling/iris/versions/1.0.0")
    of_all = await stage.get("/scaling")
    assert (of_version["live_workers"], of_version["rows_waiting"]) == (1, 10)
    assert of_all["rows_waiting"] == 10
    assert len(of_all["lanes"]) == len(stage.gateway.catalog.keys)


@pytest.mark.parametrize("path", ["/scaling/nothing", "/scaling/iris/versions/9.9.9"])
async def test_an_unknown_model_has_no_scaling(stage: Stage, path: str) -> None:
    answer = await stage.http.get(path)
    assert (answer.status_code, answer.json()["error"]) == (404, "model_not_found")


async def test_jobs_of_a_version_that_is_declared_nowhere_count_for_their_model(stage: Stage) -> None:
    ledger = AsyncLedger(stage.client, lambda *_: None)
    job = NewJob(id=new_job_id(), model="iris", version="0.9.0", digest="d", owner="anonymous")
    await ledger.open_job(job)
    await ledger.append_chunks(job.id, job.key, [7])
    found = await stage.get("/scaling/iris")
    assert model_key("iris", "0.9.0") in {f"{lane['model']}@{lane['version']}" for lane in found["lanes"]}
    assert found["rows_waiting"] == 7


@pytest.mark.parametrize("path", ["/lanes", "/scaling", "/scaling/iris"])
async def test_without_redis_nobody_is_told_that_nothing_waits(stage: Stage, path: str) -> None:
    stage.client.server.connected = False
    answer = await stage.http.get(path)
    assert (answer.status_code, answer.json()["error"]) == (503, "queue_unavailable")


async def test_who_waits_for_a_look_that_fails_does_not_wait_for_another() -> None:
    client, clock = FakeRedis(), FakeClock()
    watch = LaneWatch(client, lambda: {IRIS_KEY: 1.0}, clock)
    client.server.connected = False
    with pytest.raises(RedisError):
        await watch.lanes()
    client.server.connected = True
    with pytest.raises(RedisError):  # as it was half a second ago
        await watch.lanes()
    clock.now_s += FRESH_S
    assert (await watch.lanes()).of(IRIS_KEY).idle


@pytest.mark.parametrize(
    "query",
    [
        {"target_s": 0},
        {"target_s": "inf"},
        {"target_s": "nan"},
        {"target_s": 1e-300},
        {"min_workers": -1},
        {"max_workers": 10**30},
    ],
)
async def test_bounds_that_make_no_sense_are_refused(stage: Stage, query: dict[str, float]) -> None:
    answer = await stage.http.get("/scaling/iris", params=query)
    assert (answer.status_code, answer.json()["error"]) == (422, "validation_error")
