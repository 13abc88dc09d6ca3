"""`GET /metrics` of a gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from api.gateway import Gateway
from api.telemetry.stages import STAGES
from shared import VERSION
from shared.metrics import gateway_metrics as metrics
from shared.metrics.metric import BUILD
from tests.support.scrapes import Scrape, names_of
from tests.unit.gateway_fakes import IRIS, IRIS_ROW, FakeRedis, FakeWorker, running_gateway, serving

IRIS_LABELS = {"model": "iris", "version": IRIS.default_version}


class Stage(NamedTuple):
    gateway: Gateway
    http: httpx.AsyncClient
    worker: FakeWorker

    async def scrape(self) -> Scrape:
        return Scrape((await self.http.get("/metrics")).text)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    client = FakeRedis()
    worker = FakeWorker(client, IRIS)
    async with running_gateway(client, tmp_path) as (gateway, http):
        yield Stage(gateway, http, worker)


async def test_a_gateway_tells_all_that_is_declared_and_nothing_else(stage: Stage) -> None:
    assert (await stage.scrape()).own_names == names_of(metrics.METRICS)


async def test_the_release_is_that_of_the_program(stage: Stage) -> None:
    assert (await stage.scrape()).of(BUILD, release=VERSION) == 1


async def test_a_prediction_is_counted_with_its_rows_and_each_of_its_stages(stage: Stage) -> None:
    async with serving(stage.worker, stage.gateway):
        await stage.http.post("/predict", json=IRIS_ROW)
        told = await stage.scrape()
    assert told.of(metrics.ADMITTED, **IRIS_LABELS) == 1
    assert told.of(metrics.REQUESTS, **IRIS_LABELS, outcome="succeeded") == 1
    assert told.of(metrics.REQUEST_ROWS, **IRIS_LABELS) == 1
    assert [told.of(metrics.STAGE_DURATION, **IRIS_LABELS, stage=stage) for stage in STAGES] == [1] * len(
        STAGES
    )
    assert told.value("takt_stage_duration_seconds_sum", **IRIS_LABELS, stage="predict") == 0.002  # 2 ms
    assert told.of(metrics.READY) == 1


async def test_a_prediction_that_is_refused_at_the_door_is_shed_with_its_reason(stage: Stage) -> None:
    async with serving(stage.worker, stage.gateway):
        await stage.worker.withdraw()
        await stage.gateway.fleet.watch.renew()
        await stage.http.post("/predict", json=IRIS_ROW)
        told = await stage.scrape()
    assert told.of(metrics.SHED, **IRIS_LABELS, reason="model_not_loaded") == 1
    assert told.of(metrics.REQUESTS, **IRIS_LABELS, outcome="model_not_loaded") == 1
    assert told.of(metrics.ADMITTED, **IRIS_LABELS) == 0
    assert told.of(metrics.READY) == 0


async def test_reasons_to_shed_are_told_before_anything_is_shed(stage: Stage) -> None:
    assert (await stage.scrape()).of(metrics.SHED, **IRIS_LABELS, reason="overloaded") == 0


async def test_a_wrong_prediction_is_counted_by_its_code(stage: Stage) -> None:
    async with serving(stage.worker, stage.gateway):
        await stage.http.post("/predict", json={"sepal_length": "long"})
        told = await stage.scrape()
    assert told.of(metrics.REQUESTS, **IRIS_LABELS, outcome="validation_error") == 1


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/jobs/0123", "/jobs/{job_id}", "404"),
        ("POST", "/models/iris/predict/batch", "/models/{name}/predict/batch", "422"),
        ("GET", "/models/iris/versions/9/predict", "/models/{name}/versions/{version}/predict", "405"),
        ("GET", "/no/such/thing", "other", "404"),
        ("POST", "/health", "/health", "405"),
    ],
)
async def test_a_request_is_counted_by_its_route_and_never_by_its_path(
    stage: Stage, method: str, path: str, route: str, status: str
) -> None:
    async with serving(stage.worker, stage.gateway):
        await stage.http.request(method, path, json={})
        told = await stage.scrape()
    assert told.of(metrics.HTTP_DURATION, method=method, route=route, status=status) == 1


async def test_a_job_is_counted_once_with_its_rows_however_often_it_is_sent(stage: Stage) -> None:
    async with serving(stage.worker, stage.gateway):
        for _ in range(2):
            body = {"model": "iris", "inputs": [IRIS_ROW] * 3}
            sent = await stage.http.post("/jobs", json=body, headers={"Idempotency-Key": "the-same"})
            assert sent.status_code == 202
        told = await stage.scrape()
    assert told.of(metrics.JOBS, **IRIS_LABELS) == 1
    assert told.of(metrics.JOB_ROWS, **IRIS_LABELS) == 3


# -- scrape targets ----------------------------------------------------------------------------------------


async def test_a_worker_that_exports_metrics_is_a_target_by_its_name(stage: Stage) -> None:
    await stage.worker.beat(metrics_address="127.0.0.1:9464")
    await stage.gateway.fleet.watch.renew()
    found = (await stage.http.get("/metrics/targets")).json()
    assert found == [{"targets": ["127.0.0.1:9464"], "labels": {"instance": "fake"}}]


async def test_a_worker_that_exports_none_is_no_target(stage: Stage) -> None:
    await stage.worker.beat()
    await stage.gateway.fleet.watch.renew()
    assert (await stage.http.get("/metrics/targets")).json() == []
