"""Rows that raise, crash the process, use all memory, hang or hold the GIL: only these rows fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import pytest

from tests.support.callers import finished
from tests.support.poison import (
    ABORTS,
    HANGS,
    HOLDS_THE_GIL,
    MODEL,
    RAISES,
    SEGFAULTS,
    TAKES_ALL_MEMORY,
    poison_repository,
)
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import STARTS_S, Stack, running

pytestmark = [pytest.mark.integration, pytest.mark.faults]

ROWS = 3000
LIMIT_S = 2.0
POISONS = {
    700: HOLDS_THE_GIL,
    701: SEGFAULTS,
    900: RAISES,
    1300: HANGS,
    1700: TAKES_ALL_MEMORY,
    2100: ABORTS,
    2999: HOLDS_THE_GIL,
}
REASONS = {
    RAISES: "ValueError: a bad row",
    SEGFAULTS: "the process ended with SIGSEGV while it ran this row",
    ABORTS: "the process ended with SIGABRT while it ran this row",
    TAKES_ALL_MEMORY: "MemoryError",
    HANGS: "no answer within 2 s, the limit of one model call (TAKT_BATCH_LIMIT_S)",
    HOLDS_THE_GIL: "no answer within 2 s, the limit of one model call (TAKT_BATCH_LIMIT_S)",
}


@pytest.fixture(scope="module")
def stack(queue: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway and two supervisors with a worker each."""
    folder = tmp_path_factory.mktemp("poison")
    settings = {
        "models_dir": str(poison_repository(folder)),
        "default_model": MODEL,
        "batch_limit_s": f"{LIMIT_S:g}",
        "lease_s": "6",
        "memory_limit_bytes": str(2 << 30),
    }
    with running(queue.url, folder, **settings) as stack:
        stack.gateway()
        for name in ("one", "two"):
            stack.worker(name, wait=False)
        with stack.client() as http:
            eventually(partial(all_serve, http, 2), limit_s=STARTS_S, every_s=0.2)
        yield stack


def all_serve(http: httpx.Client, workers: int) -> bool:
    """By their heartbeats: cheaper than the health command, a process each time."""
    holders = http.get(f"/models/{MODEL}").raise_for_status().json()["workers"]
    return [holder["state"] for holder in holders] == ["loaded"] * workers


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with stack.client(timeout_s=90) as client:
        yield client


def submitted(http: httpx.Client, values: list[float]) -> str:
    answer = http.post("/jobs", json={"model": MODEL, "inputs": [[x] for x in values]})
    assert answer.status_code == 202, answer.text
    return str(answer.headers["Location"])


def results_of(http: httpx.Client, job: dict[str, Any]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = http.get(job["links"]["results"]).raise_for_status().json()["results"]
    return results


def answered(http: httpx.Client, x: float, wait_s: int = 10) -> httpx.Response:
    return http.post("/predict", json={"x": x}, headers={"Prefer": f"wait={wait_s}"})


@contextmanager
def online_meanwhile(stack: Stack) -> Iterator[list[int]]:
    """Requests in turn while the block runs. → their statuses"""
    statuses: list[int] = []
    ended = threading.Event()

    def ask() -> None:
        with stack.client(timeout_s=90) as client:
            while not ended.wait(0.05):
                statuses.append(answered(client, 3.0, wait_s=30).status_code)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield statuses
    finally:
        ended.set()
        thread.join(100)


def test_each_kind_of_poison_row_fails_with_its_reason_and_its_neighbours_succeed(
    stack: Stack, http: httpx.Client
) -> None:
    values = [POISONS.get(row, float(row)) for row in range(ROWS)]
    with online_meanwhile(stack) as statuses:
        job = finished(http, submitted(http, values), limit_s=200)
    assert (job["state"], job["rows_failed"]) == ("succeeded", len(POISONS))
    for row, result in enumerate(results_of(http, job)):
        if row in POISONS:
            assert REASONS[POISONS[row]] in result["error"]
        else:
            assert result == {"y": 2.0 * row}
    assert statuses.count(200) > 10
    assert set(statuses) <= {200, 503}  # both workers may be away for a moment
    events = http.get(f"{job['links']['self']}/timeline").json()["events"]
    lost = [event for event in events if event["event"] == "attempt_failed"]
    assert {event["worker"].partition("/")[0] for event in lost} <= {"one", "two"}
    assert any("its lease ended" in event["reason"] for event in lost)
    assert [event["event"] for event in events][0 :: len(events) - 1] == ["submitted", "succeeded"]


def test_a_request_that_ends_two_workers_is_given_up_and_they_come_back(
    stack: Stack, http: httpx.Client
) -> None:
    eventually(lambda: answered(http, 2.0).is_success, limit_s=STARTS_S)
    refused = answered(http, SEGFAULTS, wait_s=40)
    assert (refused.status_code, refused.json()["error"]) == (500, "prediction_failed")
    assert "the second alone" in refused.json()["detail"]
    assert "longer than 2 s, the limit of one model call (TAKT_BATCH_LIMIT_S)" in refused.json()["detail"]
    eventually(partial(all_serve, http, 2), limit_s=STARTS_S, every_s=0.2)
    assert answered(http, 2.0).json()["y"] == 4.0


@pytest.mark.parametrize("poison", [RAISES, TAKES_ALL_MEMORY])
def test_a_request_that_raises_ends_no_worker(stack: Stack, http: httpx.Client, poison: float) -> None:
    before = stack.processes()
    assert answered(http, poison).status_code == 500
    assert answered(http, 2.0).json()["y"] == 4.0
    assert stack.processes() == before
