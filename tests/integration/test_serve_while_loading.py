"""A worker serves each model version as soon as it is loaded, while others load or have failed."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from shared import keys
from shared.keys import model_key
from shared.worker_records import ModelState, WorkerRecord, WorkerState
from stack.live_workers import live_workers
from tests.support.callers import IRIS, finished, job_results
from tests.support.poison import MODEL, poison_repository
from tests.support.polling import eventually
from tests.support.servers import Server, valkey_binary
from tests.support.stack import STARTS_S, Stack, running, wait_until_ready

pytestmark = pytest.mark.integration

WORKER = "w"
IRIS_KEY, SLOW_KEY = model_key("iris", "1.0.0"), model_key(MODEL, "1.0.0")
SLOW_ROW = {"x": 3.0}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(valkey_binary(), tmp_path) as started:
        yield started


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with server.client() as made:
        yield made


@pytest.fixture
def awaited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The slow model is loaded once this file exists."""
    path = tmp_path / "awaited"
    monkeypatch.setenv("POISON_WAITS_FOR", str(path))
    return path


@pytest.fixture
def stack(server: Server, models: Path, tmp_path: Path, awaited: Path) -> Iterator[Stack]:
    """A worker that serves iris, failed to load `nothing`, and is loading the slow model; and a gateway."""
    awaited.touch()
    folder = poison_repository(tmp_path)
    awaited.unlink()
    shutil.copytree(models / "iris", folder / "iris", ignore=shutil.ignore_patterns("__pycache__"))
    with running(server.url, tmp_path, models_dir=str(folder), models=f"iris,nothing,{MODEL}") as started:
        part = started.worker(WORKER, wait=False)
        started.gateway()
        with server.client() as client:
            eventually(lambda: holds_iris(client) or started._alive(part), limit_s=STARTS_S)
        wait_until_ready(started)
        yield started


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with stack.client() as made:
        yield made


def test_a_loaded_model_is_served_on_both_lanes_while_another_loads(
    client: redis.Redis, stack: Stack, http: httpx.Client
) -> None:
    record = heartbeat(client)
    states = {key: model.state for key, model in record.models.items()}
    assert record.state is WorkerState.SERVING
    assert states.pop(IRIS_KEY) is ModelState.LOADED
    assert states.pop(SLOW_KEY) is ModelState.LOADING
    assert list(states.values()) == [ModelState.FAILED]
    assert predicted(http, "iris", IRIS).status_code == 200
    assert len(job_results(http, "iris", [IRIS, IRIS])) == 2
    assert heartbeat(client).loading == [SLOW_KEY]
    assert stack.healthy(WORKER) == 1


def test_a_model_that_is_loaded_later_is_served_on_both_lanes_from_then_on(
    client: redis.Redis, stack: Stack, http: httpx.Client, awaited: Path
) -> None:
    refused = predicted(http, MODEL, SLOW_ROW)
    assert refused.status_code == 503
    assert "loading" in refused.json()["detail"]
    waiting = http.post("/jobs", json={"model": MODEL, "inputs": [SLOW_ROW]}).headers["Location"]
    awaited.touch()
    eventually(lambda: heartbeat(client).is_ready, limit_s=STARTS_S)
    assert finished(http, waiting)["state"] == "succeeded"
    eventually(lambda: predicted(http, MODEL, SLOW_ROW).status_code == 200)
    assert predicted(http, "iris", IRIS).status_code == 200
    assert len(job_results(http, "iris", [IRIS])) == 1
    assert stack.healthy(WORKER) == 0


def test_a_worker_that_drains_serves_a_model_loaded_meanwhile_once_it_resumes(
    client: redis.Redis, stack: Stack, http: httpx.Client, awaited: Path
) -> None:
    order = keys.drain(heartbeat(client).id)
    client.set(order, 1)
    eventually(lambda: heartbeat(client).drained)
    awaited.touch()
    eventually(lambda: not heartbeat(client).loading, limit_s=STARTS_S)
    eventually(lambda: heartbeat(client).drained)
    assert heartbeat(client).state is WorkerState.DRAINING
    assert client.delete(keys.drain(heartbeat(client).id))
    eventually(lambda: heartbeat(client).is_ready)
    eventually(lambda: predicted(http, MODEL, SLOW_ROW).status_code == 200)
    assert len(job_results(http, MODEL, [SLOW_ROW])) == 1


def test_a_worker_that_serves_while_it_loads_stops_in_order_at_once(stack: Stack) -> None:
    told_s = time.monotonic()
    assert stack.parts[WORKER].end(signal.SIGTERM) == 0
    assert time.monotonic() - told_s < 10
    assert stack.parts[WORKER].has_said("worker_stopped")


def heartbeat(client: redis.Redis) -> WorkerRecord:
    """The record of the only worker, after it has followed another."""
    record = eventually(lambda: only(live_workers(client)), limit_s=20.0)
    assert record is not None
    return record


def only(records: list[WorkerRecord]) -> WorkerRecord | None:
    return records[0] if len(records) == 1 else None


def holds_iris(client: redis.Redis) -> bool:
    return any(record.holds(IRIS_KEY) for record in live_workers(client))


def predicted(http: httpx.Client, model: str, row: object) -> httpx.Response:
    return http.post(f"/models/{model}/predict", json=row)
