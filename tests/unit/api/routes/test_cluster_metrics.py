"""`GET /metrics/cluster`: metrics of the cluster, identical from every gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from msgspec import structs

from api.fleet.redis_stats import RedisStats
from api.fleet.snapshot import Fleet
from api.gateway import Gateway
from api.routes.metrics.cluster_metrics import Cluster, readings
from shared.keys import ModelKey
from shared.lanes import Lanes, ModelLanes, OfflineQueue, OnlineQueue
from shared.metrics import cluster_metrics as metrics
from shared.metrics.exposition import Readings, text_of
from shared.worker_records import (
    HeldModel,
    ModelsMemory,
    ModelState,
    SupervisorFacts,
    WorkerRecord,
    WorkerState,
)
from tests.support.scrapes import Scrape, names_of
from tests.unit.gateway_fakes import IRIS, IRIS_ROW, FakeRedis, FakeWorker, running_gateway, serving

KEY = ModelKey("iris@1.0.0")
LABELS = {"model": "iris", "version": "1.0.0"}


class Stage(NamedTuple):
    gateway: Gateway
    http: httpx.AsyncClient
    client: FakeRedis
    worker: FakeWorker

    async def scrape(self) -> Scrape:
        return Scrape((await self.http.get("/metrics/cluster")).text)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    client = FakeRedis()
    async with running_gateway(client, tmp_path, max_stored_bytes=1_000_000) as (gateway, http):
        yield Stage(gateway, http, client, FakeWorker(client, IRIS))


def told(cluster: Cluster | None) -> Scrape:
    return Scrape(text_of(Readings(lambda: readings(cluster)), "")[0].decode())


def worker(
    name: str, state: ModelState = ModelState.LOADED, *, now: WorkerState = WorkerState.SERVING
) -> Any:
    return WorkerRecord(
        id=name,
        host="here",
        pid=1,
        device="cpu",
        state=now,
        started_at="2026-01-01T00:00:00Z",
        models={KEY: HeldModel(state=state)},
    )


def cluster_of(fleet: Fleet, lanes: Lanes | None = None) -> Cluster:
    queue = RedisStats(
        now_ms=60_000,
        latency_s=0.001,
        jobs=5,
        ended_jobs=3,
        leases=2,
        webhooks=1,
        dead_letters=4,
        dead_letters_ever=9,
        memory_used_bytes=600,
        memory_limit_bytes=1000,
        clients=7,
        log_ok=False,
    )
    return Cluster(fleet, (KEY,), lanes or Lanes(), queue, payload_free_bytes=10, payload_limit_bytes=100)


def test_what_waits_is_told_by_lane() -> None:
    lanes = ModelLanes(
        OnlineQueue(requests=3, rows=12, running_requests=2, oldest_s=0.5),
        OfflineQueue(jobs=2, chunks=40, rows=4000, running_chunks=1, oldest_s=90.0),
    )
    found = told(cluster_of(Fleet(), Lanes(1, {KEY: lanes})))
    assert [found.of(metrics.WAITING, **LABELS, lane=lane) for lane in ("online", "offline")] == [3, 40]
    assert [found.of(metrics.WAITING_ROWS, **LABELS, lane=lane) for lane in ("online", "offline")] == [
        12,
        4000,
    ]
    assert [found.of(metrics.RUNNING, **LABELS, lane=lane) for lane in ("online", "offline")] == [2, 1]
    assert [found.of(metrics.OLDEST_AGE, **LABELS, lane=lane) for lane in ("online", "offline")] == [0.5, 90]
    assert found.of(metrics.WAITING_JOBS, **LABELS) == 2


def test_workers_are_counted_by_what_they_do_and_hold() -> None:
    fleet = Fleet(
        workers=(
            worker("a:1"),
            worker("b:1", ModelState.FAILED),
            worker("c:1", ModelState.LOADING, now=WorkerState.STARTING),
        ),
        lives={"a": 1, "b": 3, "c": 1},
        seen_at_ms={"a:1": 59_000, "b:1": 60_000, "c:1": 60_000, "b:0": 40_000, "d:1": 50_000},
    )
    found = told(replace(cluster_of(fleet), restarts=4))
    states = [found.of(metrics.WORKERS, state=state) for state in ("starting", "serving", "draining")]
    assert states == [1, 2, 0]
    assert found.of(metrics.MODEL_WORKERS, **LABELS) == 1
    assert found.of(metrics.FAILED_WORKERS, **LABELS) == 1
    assert found.of(metrics.SILENT_WORKERS) == 1
    assert found.of(metrics.HEARTBEAT_AGE) == 20
    assert found.of(metrics.RESTARTS) == 4


def test_the_memory_of_each_supervisor_is_counted_once() -> None:
    facts = SupervisorFacts(name="w", pid=1, workers=2)
    memory = ModelsMemory(used_bytes=7, limit_bytes=10, loads=4, evictions=2)
    workers = [structs.replace(worker(name), supervisor=facts, memory=memory) for name in ("w/0:1", "w/1:1")]
    found = told(cluster_of(Fleet(workers=tuple(workers))))
    assert found.of(metrics.MODELS_MEMORY, supervisor="w") == 7
    assert found.of(metrics.MODELS_MEMORY_LIMIT, supervisor="w") == 10
    assert found.of(metrics.MODEL_LOADS, supervisor="w") == 4
    assert found.of(metrics.MODEL_EVICTIONS, supervisor="w") == 2


def test_a_model_that_nobody_holds_is_told_as_such() -> None:
    assert told(cluster_of(Fleet())).of(metrics.MODEL_WORKERS, **LABELS) == 0


def test_the_queue_is_told() -> None:
    found = told(cluster_of(Fleet()))
    assert [found.of(metrics.JOBS, state=state) for state in ("open", "ended")] == [2, 3]
    assert [found.of(metrics.REDIS_UP), found.of(metrics.REDIS_LOG_OK)] == [1, 0]
    assert [found.of(metrics.DEAD_LETTERS), found.of(metrics.DEAD_LETTERS_EVER)] == [4, 9]
    assert [found.of(metrics.PAYLOAD_FREE), found.of(metrics.PAYLOAD_LIMIT)] == [10, 100]


def test_all_that_is_declared_is_named_also_where_nothing_is_known() -> None:
    assert told(None).own_names == told(cluster_of(Fleet())).own_names == names_of(metrics.METRICS)


# -- over HTTP ---------------------------------------------------------------------------------------------


async def test_a_running_gateway_tells_of_the_whole(stage: Stage) -> None:
    async with serving(stage.worker, stage.gateway):
        await stage.http.post("/predict", json=IRIS_ROW)
        rows = [IRIS_ROW | {"sepal_length": 5 + n * 0.0017} for n in range(1000)]  # no room in the ledger
        await stage.http.post("/jobs", json={"model": "iris", "inputs": rows})
        found = await stage.scrape()
    assert found.of(metrics.REDIS_UP) == 1
    assert found.of(metrics.MODEL_WORKERS, model="iris", version=IRIS.default_version) == 1
    assert found.of(metrics.JOBS, state="open") == 1
    assert found.of(metrics.WAITING_JOBS, model="iris", version=IRIS.default_version) == 1
    assert found.of(metrics.WAITING_ROWS, model="iris", version=IRIS.default_version, lane="offline") == 1000
    assert found.of(metrics.DEAD_LETTERS_EVER) == 0
    assert found.of(metrics.PAYLOAD_LIMIT) == 1_000_000
    assert 0 < (found.of(metrics.PAYLOAD_FREE) or 0) < 1_000_000


async def test_while_redis_is_away_that_is_all_that_is_told(stage: Stage) -> None:
    stage.client.server.connected = False
    found = await stage.scrape()
    assert found.of(metrics.REDIS_UP) == 0
    assert found.of(metrics.RESTARTS) is None
    stage.client.server.connected = True
