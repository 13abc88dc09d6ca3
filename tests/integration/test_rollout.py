"""Gateways, workers and model versions are replaced while both loads run, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.paced import MODEL, pace_file, paced_repository
from shared import keys
from shared.keys import model_key
from tests.support.callers import finished
from tests.support.polling import eventually
from tests.support.rollout import Traffic, traffic
from tests.support.servers import Server, free_port
from tests.support.stack import Part, Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.faults]

PACE_MS = 2.0
OLD, NEW = "1.0.0", "1.1.0"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The paced model in two versions; the old version is the default."""
    return paced_repository(tmp_path_factory.mktemp("paced"), OLD, NEW, pace_ms=PACE_MS)


@pytest.fixture(scope="module")
def stack(queue: Server, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A worker that holds the old version, and a gateway that stays."""
    folder = tmp_path_factory.mktemp("rollout")
    settings = {
        "models_dir": str(repository),
        "default_model": MODEL,
        "lease_s": "60",
        "chunk_rows": "400",
        "drain_delay_s": "1.5",
    }
    with running(queue.url, folder, **settings) as started:
        started.gateway("stays")
        started.worker("first")
        wait_until_ready(started)
        yield started


@pytest.fixture
def leaving(stack: Stack) -> Iterator[Part]:
    """A second gateway, to be stopped."""
    part = stack.gateway("leaves", port=free_port(), chunk_rows="20000", shutdown_grace_s="6")
    wait_until_ready(part)
    yield part
    part.kill()


@pytest.fixture
def slow(repository: Path) -> Iterator[None]:
    """For one test, each row takes 100 ms."""
    pace_file(repository).write_text("100")
    yield
    pace_file(repository).write_text(f"{PACE_MS:g}")


def all_end(stack: Stack, jobs: list[str]) -> None:
    with stack.client() as http:
        for job in jobs:
            ended = finished(http, job, limit_s=90)
            assert (ended["state"], ended["rows_failed"]) == ("succeeded", 0), ended


def nothing_lost(stack: Stack, seen: Traffic) -> None:
    assert seen.wrong == []
    assert {status for status, _ in seen.predictions} == {200}
    assert seen.jobs
    all_end(stack, seen.jobs)


def submitted(http: httpx.Client, rows: int, **more: Any) -> str:
    body = {"model": MODEL, "inputs": [[float(n)] for n in range(rows)]} | more
    location: str = http.post("/jobs", json=body).raise_for_status().headers["location"]
    return location


# -- gateways ------------------------------------------------------------------------------------------------


def test_a_gateway_that_got_sigterm_is_not_ready_and_still_answers_for_the_drain_delay(stack: Stack) -> None:
    patient = {"drain_delay_s": "60", "shutdown_grace_s": "90"}
    leaving = stack.gateway("patient", port=free_port(), **patient)
    wait_until_ready(leaving)
    leaving.tell(signal.SIGTERM)
    answer = eventually(lambda: _unready(leaving))
    assert answer is not None
    assert (answer.json()["draining"], answer.headers["connection"]) == (True, "close")
    predicted = httpx.post(f"{leaving.url}/predict", json={"x": 1.0})
    assert (predicted.status_code, predicted.headers["connection"]) == (200, "close")
    assert leaving.end() == 0  # a second signal cuts the delay short


def _unready(gateway: Part) -> httpx.Response | None:
    answer = httpx.get(f"{gateway.url}/health/ready")
    return answer if answer.status_code == 503 else None


async def test_a_gateway_is_replaced_under_both_loads_and_nothing_is_lost(
    stack: Stack, leaving: Part
) -> None:
    async with traffic(stack.parts["stays"], leaving) as seen:
        await seen.goes_on()
        assert await asyncio.to_thread(leaving.end, signal.SIGTERM) == 0
        await asyncio.to_thread(leaving.start)
        await asyncio.to_thread(wait_until_ready, leaving)
        await seen.goes_on()
    await asyncio.to_thread(nothing_lost, stack, seen)


@pytest.mark.usefixtures("slow")
def test_a_request_that_outlasts_the_grace_is_told_to_ask_again(queue: Server, leaving: Part) -> None:
    answers: list[httpx.Response] = []

    def ask() -> None:
        inputs = {"inputs": [[1.0]] * 150}  # 15 s
        url = f"{leaving.url}/predict/batch"
        answers.append(httpx.post(url, json=inputs, headers={"Prefer": "wait=60"}, timeout=90))

    asking = threading.Thread(target=ask)
    asking.start()
    with queue.client() as client:
        eventually(lambda: client.xlen(keys.online(model_key(MODEL, OLD))) > 0)
        assert leaving.end(signal.SIGTERM) == 0
        asking.join()
        # nobody waits for it: of its parts at most the one that runs is left
        assert client.xlen(keys.online(model_key(MODEL, OLD))) <= 1
    assert (answers[0].status_code, answers[0].json()["error"]) == (503, "queue_unavailable")
    assert answers[0].headers["retry-after"] == "1"


def test_events_end_with_their_gateway_and_go_on_at_another(stack: Stack, leaving: Part) -> None:
    with stack.client() as http:
        job = submitted(http, 3000)
        with httpx.stream("GET", f"{leaving.url}{job}/events", timeout=20) as answer:
            lines = answer.iter_lines()
            assert "event: snapshot" in (next(lines), next(lines))
            leaving.tell(signal.SIGTERM)
            seen = [line for line in lines if line.startswith(("id: ", "event: "))]  # to a clean end
        assert "event: end" not in seen
        last_id = next(line for line in reversed(["id: 0-0", *seen]) if line.startswith("id: "))
        headers = {"Last-Event-ID": last_id.removeprefix("id: ")}
        with http.stream("GET", f"{job}/events", headers=headers, timeout=40) as answer:
            events = [line for line in answer.iter_lines() if line.startswith("event: ")]
    assert "event: snapshot" not in events
    assert events[-1] == "event: end"


def test_a_download_that_has_begun_is_finished(stack: Stack, leaving: Part, repository: Path) -> None:
    pace_file(repository).write_text("0")
    rows, note = 20_000, "." * 400  # more than the sockets of both ends hold
    with httpx.Client(base_url=leaving.url, timeout=30) as http:
        text = "x,note\n" + "".join(f"{n + 1 / 3},{note}\n" for n in range(rows))
        asked = {"model": MODEL, "keep_columns": "note"}
        job = http.post("/jobs", params=asked, content=text, headers={"Content-Type": "text/csv"})
        finished(http, job.raise_for_status().headers["location"], limit_s=60)
    pace_file(repository).write_text(f"{PACE_MS:g}")
    # a client that reads slowly, and has no room for what it has not read
    small = httpx.HTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**18)])
    path = f"{job.headers['location']}/results"
    with (
        httpx.Client(base_url=leaving.url, transport=small, timeout=20) as client,
        client.stream("GET", path, headers={"Accept": "application/x-ndjson"}) as answer,
    ):
        parts = answer.iter_raw()
        body = [next(parts)]
        leaving.tell(signal.SIGTERM)
        eventually(lambda: _refuses(leaving))
        assert leaving.outlives(0.5)
        body += parts
    assert b"".join(body).count(b"\n") == rows
    assert leaving.ended() == 0


def _refuses(gateway: Part) -> bool:
    try:
        httpx.get(f"{gateway.url}/health/live")
    except httpx.ConnectError:
        return True
    return False


def test_an_upload_that_outlasts_the_grace_fails_its_job_and_may_be_sent_again(
    stack: Stack, leaving: Part
) -> None:
    key = {"Idempotency-Key": "rollout", "Content-Type": "text/csv"}
    ended = threading.Event()

    def body() -> Iterator[bytes]:
        yield b"x\n1\n2\n"
        leaving.tell(signal.SIGTERM)
        ended.wait(60)
        yield b"3\n"

    answers: list[httpx.Response] = []

    def upload() -> None:
        url = f"{leaving.url}/jobs"
        with contextlib.suppress(httpx.HTTPError):  # a client that only writes does not see the answer
            answers.append(httpx.post(url, params={"model": MODEL}, content=body(), headers=key, timeout=90))

    uploading = threading.Thread(target=upload)
    uploading.start()
    with stack.client() as http:
        job = eventually(lambda: _failed(http))
        ended.set()
        assert job is not None
        assert job["error"]["code"] == "upload_interrupted"
        again = http.post("/jobs", params={"model": MODEL}, content=b"x\n1\n2\n3\n", headers=key)
        assert again.status_code == 202
        assert finished(http, again.headers["location"])["rows_succeeded"] == 3
    uploading.join()
    assert leaving.ended() == 0
    assert {answer.status_code for answer in answers} <= {408}


def _failed(http: httpx.Client) -> dict[str, Any] | None:
    jobs: list[dict[str, Any]] = http.get("/jobs", params={"state": "failed"}).json()["jobs"]
    return jobs[0] if jobs else None


# -- workers and versions ------------------------------------------------------------------------------------


async def test_a_worker_is_replaced_under_both_loads_and_hands_its_chunk_back(
    stack: Stack, queue: Server
) -> None:
    with stack.client() as http:
        job = await asyncio.to_thread(submitted, http, 3000)  # 6 s
        async with traffic(stack.parts["stays"], clients=4) as seen:
            await asyncio.to_thread(stack.worker, "second")
            assert await asyncio.to_thread(stack.parts["first"].end, signal.SIGTERM) == 0
            with queue.client() as client:
                # a lease lasts a minute: none is left of the worker that has gone
                held = [lease for lease in client.zrange(keys.leases(), 0, -1) if b":" in lease]
                assert len(held) <= 2
            await seen.goes_on()
        await asyncio.to_thread(nothing_lost, stack, seen)
        assert finished(http, job)["rows_succeeded"] == 3000


@pytest.mark.timeout(300)  # six programs start in turn
async def test_versions_change_under_load_while_jobs_of_the_old_version_are_in_flight(
    stack: Stack, repository: Path
) -> None:
    old_gateway, spec = stack.parts["stays"], repository / MODEL / "model.toml"
    if not stack.parts.get("second"):
        stack.worker("second")
    with stack.client() as http:
        pinned = await asyncio.to_thread(submitted, http, 1500, version=OLD)
        async with traffic(old_gateway, clients=4) as seen:
            # workers that hold both come first, then those leave that hold only the old version
            stack.worker("newest", wait=False, models=f"{MODEL}@{NEW}")
            await asyncio.to_thread(stack.worker, "both", models=f"{MODEL}@{OLD},{MODEL}@{NEW}")
            assert await asyncio.to_thread(stack.parts["second"].end, signal.SIGTERM) == 0
        assert seen.versions() == {OLD}
        await asyncio.to_thread(nothing_lost, stack, seen)

        spec.write_text(spec.read_text().replace(f'"{OLD}"', f'"{NEW}"'))
        new_gateway = await asyncio.to_thread(lambda: stack.gateway("new", port=free_port()))
        await asyncio.to_thread(wait_until_ready, new_gateway)
        async with traffic(old_gateway, new_gateway, clients=4) as seen:
            await seen.goes_on()
            assert await asyncio.to_thread(old_gateway.end, signal.SIGTERM) == 0
            await seen.goes_on()
        assert seen.wrong == []
        assert seen.versions() == {OLD, NEW}
    with httpx.Client(base_url=new_gateway.url, timeout=30) as http:
        for job in [pinned, *seen.jobs]:
            assert finished(http, job)["state"] == "succeeded"
        # only the new version is left, and a job of the old version says what it waits for
        await asyncio.to_thread(stack.wait_for, "newest")
        assert await asyncio.to_thread(stack.parts["both"].end, signal.SIGTERM) == 0
        waiting = submitted(http, 10, version=OLD)
        eventually(lambda: http.get(waiting).json()["waiting"])
        job = http.get(waiting).json()
        assert (job["state"], job["version"], job["waiting"]["reason"]) == ("queued", OLD, "no_worker")
        assert f"{MODEL}@{OLD}" in job["waiting"]["detail"]
        newest = submitted(http, 10)
        assert finished(http, newest)["version"] == NEW
        # a worker that holds the old version again takes it up
        await asyncio.to_thread(stack.worker, "old-again", models=f"{MODEL}@{OLD}")
        assert finished(http, waiting)["rows_succeeded"] == 10
        results = http.get(f"{waiting}/results").json()["results"]
        assert [result["y"] for result in results] == [float(n) for n in range(10)]
