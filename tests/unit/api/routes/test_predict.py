"""Predictions over HTTP: response formats, headers, and the common error format."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from api.gateway import Gateway
from shared import keys
from shared.messages import Entry, EntryFailure, OutputColumn
from shared.specs import ModelSpec
from shared.worker_records import WorkerState
from tests.unit.gateway_fakes import (
    CLASSIFIER,
    IRIS,
    IRIS_KEY,
    IRIS_ROW,
    FakeRedis,
    FakeWorker,
    running_gateway,
    serving,
    until,
)


@dataclass
class Stage:
    gateway: Gateway
    http: httpx.AsyncClient
    worker: FakeWorker
    client: FakeRedis


@pytest.fixture
async def idle(tmp_path: Path) -> AsyncIterator[Stage]:
    """A gateway with Redis and without a worker."""
    client = FakeRedis()
    async with running_gateway(client, tmp_path, max_body_bytes=100_000, default_wait_s=5) as (gateway, http):
        await until(lambda: gateway.queue.up)
        yield Stage(gateway, http, FakeWorker(client, IRIS, CLASSIFIER), client)


@pytest.fixture
async def stage(idle: Stage) -> AsyncIterator[Stage]:
    """A gateway and a worker that answers with each row's first input."""
    async with serving(idle.worker, idle.gateway):
        yield idle


async def test_predict_answers_in_the_guides_shape(stage: Stage) -> None:
    answer = await stage.http.post("/predict", json=IRIS_ROW)
    assert answer.status_code == 200
    assert answer.json() == {"prediction": "setosa", "confidence": 5.1, "model_version": "1.0.0"}
    assert list(answer.json()) == ["prediction", "confidence", "model_version"]
    assert answer.headers["x-model-version"] == "1.0.0"


async def test_predict_batch_answers_in_the_guides_shape(stage: Stage) -> None:
    rows = [[length, 3.0, 4.0, 1.0] for length in (5.1, 6.7, 5.8)]
    answer = await stage.http.post("/predict/batch", json={"inputs": rows})
    assert answer.json() == {
        "results": [{"prediction": "setosa", "confidence": c} for c in (5.1, 6.7, 5.8)],
        "total_count": 3,
    }


async def test_the_classifier_answers_in_the_guides_shape(stage: Stage) -> None:
    answer = await stage.http.post("/models/classifier/predict", json={"features": [0.5] * 10})
    assert answer.json() == {"predicted_class": 2, "probabilities": [0.5] * 10}
    assert answer.headers["x-model-version"] == "1.0.0"


async def test_a_thousand_rows_come_back_in_order(stage: Stage) -> None:
    rows = [[i / 100, 1, 1, 1] for i in range(1000)]
    answer = (await stage.http.post("/predict/batch", json={"inputs": rows})).json()
    assert [row["confidence"] for row in answer["results"]] == [i / 100 for i in range(1000)]
    assert answer["total_count"] == 1000


@pytest.mark.parametrize("path", ["/predict", "/models/iris/predict", "/models/iris/versions/1.0.0/predict"])
async def test_a_model_answers_by_default_by_name_and_by_version(stage: Stage, path: str) -> None:
    assert (await stage.http.post(path, json=IRIS_ROW)).status_code == 200
    assert (await stage.http.post(f"{path}/batch", json={"inputs": [IRIS_ROW]})).status_code == 200


async def test_an_answer_says_where_its_time_went(stage: Stage) -> None:
    timing = (await stage.http.post("/predict", json=IRIS_ROW)).headers["server-timing"]
    stages = re.findall(r'(\w+)(?:;desc="rows=1")?;dur=[\d.]+', timing)
    assert stages == ["validate", "encode", "queue", "batch", "predict", "reply", "serialize"]
    measured = (await stage.http.get("/models/iris")).json()["measured"]
    assert measured["requests"] == 1
    assert measured["stages_ms"]["predict"]["mean"] == 2.0


async def test_health_and_model_info_have_the_guides_shapes(stage: Stage) -> None:
    health = (await stage.http.get("/health")).json()
    assert health.pop("uptime_seconds") >= 0
    assert health == {"status": "healthy", "models_loaded": ["classifier", "iris"]}
    info = (await stage.http.get("/model-info")).json()
    assert info == {
        "model_name": "iris",
        "model_version": "1.0.0",
        "framework": "scikit-learn",
        "input_features": list(IRIS_ROW),
        "description": IRIS.description,
    }


async def test_without_a_worker_the_gateway_lives_and_is_not_ready(idle: Stage) -> None:
    assert (await idle.http.get("/health/live")).status_code == 200
    assert (await idle.http.get("/health/ready")).status_code == 503
    assert (await idle.http.get("/health")).json()["status"] == "degraded"


async def test_with_a_worker_it_is_ready_until_it_is_told_to_stop(stage: Stage) -> None:
    assert (await stage.http.get("/health/ready")).status_code == 200
    stage.gateway.lifecycle.drain()
    assert (await stage.http.get("/health/ready")).status_code == 503


async def test_a_worker_that_is_stopping_holds_nothing(stage: Stage) -> None:
    await stage.worker.beat(state=WorkerState.DRAINING)
    await stage.gateway.fleet.watch.renew()
    assert (await stage.http.get("/health/ready")).status_code == 503


async def test_a_gateway_starts_without_redis_and_recovers_by_itself(tmp_path: Path) -> None:
    client = FakeRedis()
    client.server.connected = False
    async with running_gateway(client, tmp_path) as (gateway, http):
        assert (await http.get("/health/live")).status_code == 200
        refused = await http.post("/predict", json=IRIS_ROW)
        assert (refused.status_code, refused.json()["error"]) == (503, "queue_unavailable")
        assert int(refused.headers["retry-after"]) > 0
        client.server.connected = True
        async with serving(FakeWorker(client, IRIS), gateway):
            assert (await http.post("/predict", json=IRIS_ROW)).status_code == 200


async def test_without_a_live_worker_a_prediction_is_refused_at_once(idle: Stage) -> None:
    answer = await idle.http.post("/predict", json=IRIS_ROW)
    assert (answer.status_code, answer.json()["error"]) == (503, "model_not_loaded")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_backlog_too_long_for_the_wait_is_refused_with_a_time(idle: Stage) -> None:
    await idle.worker.beat(rows_per_s=10)
    for _ in range(100):
        await idle.client.xadd(keys.online(IRIS_KEY), {"m": "another gateway's"})
    await idle.gateway.fleet.watch.renew()
    answer = await idle.http.post("/predict", json=IRIS_ROW)
    assert (answer.status_code, answer.json()["error"]) == (503, "overloaded")
    assert answer.headers["retry-after"] == "8"  # 10.1 s of work, of which 2.5 s fit the wait


async def test_no_answer_within_the_preferred_wait_is_504(idle: Stage) -> None:
    await idle.worker.beat()
    await idle.gateway.fleet.watch.renew()
    answer = await idle.http.post("/predict", json=IRIS_ROW, headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json()["error"]) == (504, "deadline_exceeded")
    await idle.worker.nothing_waits(IRIS_KEY)


async def test_a_preferred_wait_is_capped_and_confirmed(stage: Stage) -> None:
    answer = await stage.http.post("/predict", json=IRIS_ROW, headers={"Prefer": "wait=900"})
    assert answer.headers["preference-applied"] == "wait=60"


async def test_what_the_model_raised_is_prediction_failed(idle: Stage) -> None:
    def fail(spec: ModelSpec, entry: Entry) -> list[OutputColumn] | EntryFailure:
        return EntryFailure("prediction_failed", "ValueError: no")

    async with serving(FakeWorker(idle.client, IRIS, predict=fail), idle.gateway):
        answer = await idle.http.post("/predict", json=IRIS_ROW)
    assert answer.status_code == 500
    assert (answer.json()["error"], answer.json()["detail"]) == ("prediction_failed", "ValueError: no")


async def test_invalid_input_is_422_with_a_list_of_problems(stage: Stage) -> None:
    answer = await stage.http.post("/predict", json=IRIS_ROW | {"petal_width": "wide"})
    assert answer.status_code == 422
    body = answer.json()
    assert body["error"] == "validation_error"
    assert [(p["row"], p["field"]) for p in body["detail"]] == [(0, "petal_width")]
    assert body["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/models/nope/predict", 404, "model_not_found"),
        ("POST", "/models/iris/versions/9.9.9/predict", 404, "model_not_found"),
        ("GET", "/models/nope", 404, "model_not_found"),
        ("GET", "/models/iris/versions/9.9.9", 404, "model_not_found"),
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/predict/nowhere", 404, "not_found"),
        ("GET", "/predict", 405, "method_not_allowed"),
        ("DELETE", "/health", 405, "method_not_allowed"),
        ("GET", "/jobs/nope", 404, "job_not_found"),
        ("GET", "/jobs/nope/results?offset=-1", 422, "validation_error"),
    ],
)
async def test_errors_have_the_same_shape(
    stage: Stage, method: str, path: str, status: int, code: str
) -> None:
    answer = await stage.http.request(method, path, json=IRIS_ROW if method == "POST" else None)
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert set(answer.json()) == {"error", "detail", "request_id"}
    if status == 405:
        assert answer.headers["allow"]


async def test_another_media_type_is_415(stage: Stage) -> None:
    answer = await stage.http.post("/predict", content=b"a,b", headers={"Content-Type": "text/csv"})
    assert (answer.status_code, answer.json()["error"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_limit_is_413_while_it_is_read(stage: Stage, announced: bool) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 10_000
            yield b" " * 10_000

    headers = {"Content-Type": "application/json"} | ({"Content-Length": "1000000"} if announced else {})
    answer = await stage.http.post("/predict", content=chunks(), headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")
    assert sent <= (0 if announced else 110_000)


async def test_a_sane_request_id_is_echoed_and_another_replaced(stage: Stage) -> None:
    kept = await stage.http.get("/health/live", headers={"X-Request-ID": "mes-42/7"})
    assert kept.headers["x-request-id"] == "mes-42/7"
    for insane in ("x" * 129, "has space", ""):
        made = await stage.http.get("/health/live", headers={"X-Request-ID": insane})
        assert re.fullmatch("[0-9a-f]{32}", made.headers["x-request-id"])


async def test_a_bug_is_500_without_a_trace(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(stage.gateway.catalog, "find", bug)
    for path in ("/predict", "/models/iris"):
        with capture_logs() as logs:
            answer = await stage.http.request("POST" if path == "/predict" else "GET", path)
        assert [event["event"] for event in logs] == ["request_failed"]
        assert (answer.status_code, answer.json()["error"]) == (500, "internal_error")
        assert "hunter2" not in answer.text


async def test_a_client_that_leaves_withdraws_its_work(idle: Stage) -> None:
    await idle.worker.beat()
    await idle.gateway.fleet.watch.renew()
    gone = asyncio.Event()
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "headers": [(b"content-type", b"application/json")],
        "query_string": b"",
    }
    messages: Iterator[dict[str, object]] = iter(
        [{"type": "http.request", "body": httpx.Request("POST", "http://x", json=IRIS_ROW).content}]
    )

    async def receive() -> dict[str, object]:
        for message in messages:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(_message: object) -> None:
        raise AssertionError("nobody is there to answer")

    app = idle.http._transport.app  # type: ignore[attr-defined]  # the application under test
    call = asyncio.create_task(app(scope, receive, send))
    await until(lambda: any(waiting.entry_ids for waiting in idle.gateway.online.dispatcher.inflight))
    gone.set()
    await call
    await idle.worker.nothing_waits(IRIS_KEY)


async def test_on_shutdown_the_lane_tells_who_still_waits(tmp_path: Path) -> None:
    client = FakeRedis()
    async with running_gateway(client, tmp_path) as (gateway, http):
        await until(lambda: gateway.queue.up)
        await FakeWorker(client, IRIS).beat()
        await gateway.fleet.watch.renew()
        call = asyncio.create_task(http.post("/predict", json=IRIS_ROW))
        await until(lambda: len(gateway.online.dispatcher.inflight) == 1)
        await gateway.online.dispatcher.close()
        assert (await call).status_code == 503
