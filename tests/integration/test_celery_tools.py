"""`celery inspect` and Flower see only workers with the setting that enables them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.dead_letters import DeadLetters
from shared.doorbells import TASK
from shared.keys import model_key, offline_queue
from shared.settings import environment
from tests.support.callers import IRIS, job_results
from tests.support.polling import eventually
from tests.support.servers import Server, free_port
from tests.support.stack import ROOT, STARTS_S, Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.tools]

ROW = list(IRIS.values())
SEEN = f"seen/0@{socket.gethostname()}"


@pytest.fixture(scope="module")
def stack(queue: Server, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway, a worker visible to the tools, and a worker hidden from them."""
    with running(queue.url, tmp_path_factory.mktemp("tools"), models="iris") as started:
        started.gateway()
        started.worker("seen", celery_tools="true")
        started.worker("unseen")
        wait_until_ready(started)
        yield started


@pytest.fixture(scope="module")
def flower(stack: Stack, queue: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of Flower's API."""
    port, log = free_port(), tmp_path_factory.mktemp("flower") / "flower.log"
    listens = ["--address=127.0.0.1", f"--port={port}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            celery("flower", *listens),
            cwd=ROOT,
            env=environment({"redis_url": queue.url}) | {"FLOWER_UNAUTHENTICATED_API": "true"},
            stdout=output,
            stderr=output,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            eventually(lambda: answers(client), limit_s=STARTS_S, every_s=0.2)
            yield client
    except BaseException:
        print(log.read_text(errors="replace")[-4000:])  # noqa: T201 - pytest shows it with the failure
        raise
    finally:
        process.terminate()
        process.wait(timeout=30)


def celery(*words: str) -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "worker.broker.inspect", *words]


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthcheck").is_success
    except httpx.HTTPError:
        return False


def inspected(queue: Server, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        celery("inspect", "--json", *words),
        cwd=ROOT,
        env=environment({"redis_url": queue.url}),
        capture_output=True,
        check=False,
        text=True,
    )


@pytest.mark.parametrize("what", ["ping", "active", "stats", "active_queues"])
def test_celery_inspect_is_answered_by_a_worker_that_lets_it(stack: Stack, queue: Server, what: str) -> None:
    answer = inspected(queue, "--timeout", "60", "--destination", SEEN, what)  # it ends with the answer
    assert answer.returncode == 0, answer.stdout + answer.stderr
    said = json.loads(answer.stdout)
    assert said.keys() == {SEEN}
    if what == "active_queues":
        assert [one["name"] for one in said[SEEN]] == [offline_queue(model_key("iris", "1.0.0"))]


def test_a_worker_that_does_not_let_it_answers_nobody(stack: Stack, queue: Server) -> None:
    answer = inspected(queue, "--timeout", "3", "ping")
    assert "unseen/0@" not in answer.stdout


def test_flower_lists_the_worker_and_its_doorbells(stack: Stack, flower: httpx.Client) -> None:
    eventually(lambda: SEEN in flower.get("/api/workers", params={"refresh": "true"}).text, limit_s=60)
    with stack.client() as http:

        def doorbells_of_the_worker() -> list[dict[str, Any]]:
            """A job's doorbell is answered by either worker: submits jobs until this worker answers."""
            job_results(http, "iris", [ROW])
            tasks = flower.get("/api/tasks").raise_for_status().json().values()
            return [task for task in tasks if task["name"] == TASK and task["state"] == "SUCCESS"]

        [task, *_] = eventually(doorbells_of_the_worker, limit_s=60, every_s=0.5)
    assert task["worker"] == SEEN
    assert model_key("iris", "1.0.0") in task["args"]
    assert str(ROW[0]) not in task["args"]


def test_the_tools_leave_no_dead_letters(stack: Stack, queue: Server) -> None:
    with queue.client() as client:
        assert DeadLetters(client).newest(10) == []
