"""The memory budget of a supervisor: versions that do not fit, and versions that are loaded on demand."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import redis

from shared.worker_records import ModelState, WorkerRecord
from stack.live_workers import live_workers
from tests.support.callers import finished
from tests.support.model_folders import write_model
from tests.support.polling import eventually
from tests.support.servers import Server, valkey_binary
from tests.support.stack import STARTS_S, Stack, running, wait_until_ready
from worker.supervision.memory_budget import KEPT_S

pytestmark = pytest.mark.integration

SIZE_MIB = 32
BUDGET_BYTES = 92 * 2**20
"""For two of these models: each takes up to 10 MiB beyond its size."""
WAIT_S = 55


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Server]:
    with Server(valkey_binary(), tmp_path) as started:
        yield started


@pytest.fixture
def client(valkey: Server) -> Iterator[redis.Redis]:
    with valkey.client() as made:
        yield made


@contextmanager
def served(
    valkey: Server, tmp_path: Path, names: str, *, on_demand: bool, workers: int = 1
) -> Iterator[Stack]:
    """A gateway and a supervisor with models of equal size, of which two fit."""
    folder = tmp_path / "models"
    for name in names:
        write_model(folder, name, mebibytes=SIZE_MIB)
    settings = {"models_dir": str(folder), "default_model": names[0], "workers": str(workers)}
    settings |= {"models_memory_bytes": str(BUDGET_BYTES), "models_on_demand": str(on_demand).lower()}
    with running(valkey.url, tmp_path, **settings) as stack:
        stack.gateway()
        stack.worker("w")
        wait_until_ready(stack)
        yield stack


def predicted(http: httpx.Client, name: str) -> float:
    """The answer to 2, within its deadline."""
    headers = {"Prefer": f"wait={WAIT_S}"}
    answer = http.post(f"/models/{name}/predict", json={"x": 2.0}, headers=headers, timeout=90)
    found: float = answer.raise_for_status().json()["y"]
    return round(found, 6)


def state_of(http: httpx.Client, name: str) -> str:
    """The state in the first worker, as the gateway shows it."""
    found: str = http.get(f"/models/{name}").json()["workers"][0]["state"]
    return found


def use_steadily(http: httpx.Client, name: str, seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        assert predicted(http, name) == 4.0


def held(record: WorkerRecord) -> set[str]:
    return {key.partition("@")[0] for key, model in record.models.items() if model.state is ModelState.LOADED}


@contextmanager
def watched(client: redis.Redis) -> Iterator[list[WorkerRecord]]:
    """All heartbeats during the block."""
    seen: list[WorkerRecord] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.05):
            seen.extend(live_workers(client))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        ended.set()
        looking.join()


def holder_of(client: redis.Redis, names: set[str]) -> WorkerRecord:
    """The record of the only worker, once it holds exactly these models."""

    def found() -> WorkerRecord | None:
        records = live_workers(client)
        return records[0] if len(records) == 1 and held(records[0]) == names else None

    record = eventually(found)
    assert record is not None
    return record


def require_within_budget(records: list[WorkerRecord]) -> None:
    """Neither the supervisors nor the versions that a worker holds exceed the budget."""
    assert records
    for record in records:
        assert record.memory is not None
        assert record.memory.limit_bytes == BUDGET_BYTES
        assert record.memory.used_bytes <= BUDGET_BYTES
        loaded = [one.memory_bytes for one in record.models.values() if one.state is ModelState.LOADED]
        assert sum(loaded) <= BUDGET_BYTES
        assert all(size >= SIZE_MIB * 2**20 for size in loaded)


def test_models_on_demand_are_loaded_at_their_first_request_and_the_least_recently_used_dropped(
    valkey: Server, client: redis.Redis, tmp_path: Path
) -> None:
    with served(valkey, tmp_path, "abcd", on_demand=True) as stack, stack.client() as http:
        assert [held(record) for record in live_workers(client)] == [set()]
        with watched(client) as seen:
            for name, then_held in (("a", "a"), ("b", "ab"), ("c", "bc")):
                assert predicted(http, name) == 4.0
                holder_of(client, set(then_held))
            use_steadily(http, "b", KEPT_S + 1)
            assert predicted(http, "d") == 4.0
            newest = holder_of(client, set("bd"))
        require_within_budget(seen)
        assert newest.memory is not None
        assert (newest.memory.loads, newest.memory.evictions) == (4, 2)
        wanted = ["on_demand", "loaded", "on_demand", "loaded"]
        eventually(lambda: [state_of(http, name) for name in "abcd"] == wanted)


def test_a_job_loads_its_model_and_versions_in_use_are_kept(
    valkey: Server, client: redis.Redis, tmp_path: Path
) -> None:
    with served(valkey, tmp_path, "abc", on_demand=True) as stack, stack.client() as http:
        job = http.post("/jobs", json={"model": "a", "inputs": [{"x": 2.0}]}).headers["Location"]
        assert finished(http, job)["state"] == "succeeded"
        assert predicted(http, "b") == 4.0
        with both_in_use(stack, "ab"):
            refusal = eventually(lambda: refused(http, "c"), limit_s=60)
            assert refusal is not None
            assert "which serve requests or jobs now" in refusal.json()["detail"]
            assert "TAKT_MODELS_MEMORY_BYTES" in refusal.json()["detail"]
            assert float(refusal.headers["Retry-After"]) > 0
            holder_of(client, set("ab"))
        assert eventually(lambda: not refused(http, "c"), limit_s=60)


@contextmanager
def both_in_use(stack: Stack, names: str) -> Iterator[None]:
    """Send requests to each model, one after the other, during the block."""
    ended = threading.Event()

    def send(name: str) -> None:
        with stack.client() as http:
            while not ended.wait(0.02):
                assert predicted(http, name) == 4.0

    senders = [threading.Thread(target=send, args=[name]) for name in names]
    for sender in senders:
        sender.start()
    try:
        yield
    finally:
        ended.set()
        for sender in senders:
            sender.join()


def refused(http: httpx.Client, name: str) -> httpx.Response | None:
    answer = http.post(f"/models/{name}/predict", json={"x": 2.0}, headers={"Prefer": "wait=2"})
    return answer if answer.status_code == 503 else None


def test_a_version_that_does_not_fit_is_refused_with_the_figures_until_there_is_room(
    valkey: Server, client: redis.Redis, tmp_path: Path
) -> None:
    with served(valkey, tmp_path, "abc", on_demand=False) as stack, stack.client() as http:
        reasons = eventually(lambda: refusals(client), limit_s=STARTS_S)
        assert len(reasons) == 1
        (refused_name, reason), *_ = reasons.items()
        held_names = sorted(set("abc") - {refused_name})
        assert reason.startswith(f"{refused_name}@1.0.0 takes 3")
        assert "of 92 MiB are in use by" in reason
        assert all(f"{name}@1.0.0 (" in reason for name in held_names)
        assert stack.parts["w"].has_said("model_refused")
        assert http.get(f"/models/{refused_name}").json()["workers"][0]["reason"] == reason
        (version,) = http.get(f"/models/{refused_name}/deployment").json()["versions"]
        assert (version["state"], version["failures"]) == ("failed", [reason])
        assert [predicted(http, name) for name in held_names] == [4.0, 4.0]
        require_within_budget(live_workers(client))
        shutil.rmtree(tmp_path / "models" / held_names[0])
        stack.parts["w"].tell(signal.SIGHUP)
        holder_of(client, {held_names[1], refused_name})
        eventually(lambda: not refused(http, refused_name))  # the gateway has seen it, too
        assert predicted(http, refused_name) == 4.0


def refusals(client: redis.Redis) -> dict[str, str]:
    """The failed models of the only worker, once none is loading."""
    (record,) = live_workers(client)
    failed = {key: one.reason for key, one in record.models.items() if one.state is ModelState.FAILED}
    return {} if record.loading else {key.partition("@")[0]: reason for key, reason in failed.items()}
