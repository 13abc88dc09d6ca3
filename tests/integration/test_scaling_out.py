"""From 1 worker to 2 under a running job, and back: the throughput follows, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from bench.paced import MODEL, pace_file, paced_repository
from shared import keys
from shared.ledger import ChunkState
from shared.ledger.serialization import chunks_from_hash
from stack.operator_cli import workers as program
from tests.support.callers import finished
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import STARTS_S, Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(600)]

PACE_MS = 40.0
BETWEEN_ROWS_PER_S = 1.4 * 1000 / PACE_MS
"""More than a worker can do, because its model sleeps for each row; less than two can do, even on a slow
machine."""
ROWS = 12_000
LIMIT_S = 60.0


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return paced_repository(tmp_path, pace_ms=PACE_MS)


@pytest.fixture
def stack(queue: Server, repository: Path, tmp_path: Path) -> Iterator[Stack]:
    """A gateway and a worker of a model that does 25 rows a second."""
    with running(queue.url, tmp_path, models_dir=str(repository), default_model=MODEL) as started:
        started.gateway()
        started.worker("first")
        wait_until_ready(started)
        yield started


def workers_of(http: httpx.Client) -> dict[str, dict[str, Any]]:
    return {worker["name"]: worker for worker in http.get("/workers").raise_for_status().json()["workers"]}


def rows_per_s(http: httpx.Client, job: str, rows: int) -> float:
    """How fast the job goes over the next so many rows, or a little slower: answers take time, too."""
    first, begun_s, _ = counted(http, job)
    while (now := counted(http, job))[0] < first + rows:
        assert now[1] - begun_s < LIMIT_S, f"{now[0] - first} rows in {LIMIT_S} s"
        time.sleep(0.1)
    last, _, ended_s = now
    return (last - first) / (ended_s - begun_s)


def counted(http: httpx.Client, job: str) -> tuple[int, float, float]:
    """The rows that have run, and the moments before and after that was asked."""
    asked_s = time.monotonic()
    rows: int = http.get(job).raise_for_status().json()["rows_succeeded"]
    return rows, asked_s, time.monotonic()


def asked(*words: str) -> str:
    """The output of `takt workers` with these arguments."""
    result = CliRunner().invoke(program, words)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_second_worker_doubles_a_running_jobs_throughput_and_drains_without_loss(
    stack: Stack, queue: Server, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAKT_REDIS_URL", queue.url)
    inputs = [[float(n)] for n in range(ROWS)]
    with stack.client() as http:
        submitted = http.post("/jobs", json={"model": MODEL, "inputs": inputs}).raise_for_status()
        job = submitted.headers["location"]
        assert rows_per_s(http, job, 120) < BETWEEN_ROWS_PER_S
        wanted = http.get(f"/scaling/{MODEL}").raise_for_status().json()
        assert (wanted["wanted_workers"] > 1, wanted["live_workers"]) == (True, 1)

        stack.worker("second")
        eventually(lambda: workers_of(http)["second/0"]["current"].startswith("chunk"), limit_s=STARTS_S)
        # one worker can never do so; two do, once the machine lets them
        eventually(lambda: rows_per_s(http, job, 300) > BETWEEN_ROWS_PER_S, limit_s=2 * LIMIT_S)

        assert "is drained" in asked("drain", "second", "--wait", "--limit", str(LIMIT_S))
        assert "drained" in asked("list")
        eventually(lambda: workers_of(http)["second/0"]["drained"], limit_s=LIMIT_S)
        second = workers_of(http)["second/0"]
        assert (second["state"], second["current"]) == ("draining", "")
        assert chunks_leased_to(queue, job, second["id"]) == []
        assert rows_per_s(http, job, 120) < BETWEEN_ROWS_PER_S

        asked("undrain", "--all")
        eventually(lambda: workers_of(http)["second/0"]["current"].startswith("chunk"), limit_s=LIMIT_S)

        pace_file(repository).write_text("0")  # the rest need not take minutes
        ended = finished(http, job, limit_s=2 * LIMIT_S)
        assert (ended["state"], ended["rows_succeeded"]) == ("succeeded", ROWS)
        results = http.get(f"{job}/results").raise_for_status().json()["results"]
        assert [result["y"] for result in results] == [row[0] for row in inputs]


def chunks_leased_to(queue: Server, job: str, worker_id: str) -> list[int]:
    with queue.client() as client:
        records = chunks_from_hash(client.hgetall(keys.job_chunks(job.rpartition("/")[2])))
    return [one.index for one in records if one.state is ChunkState.LEASED and one.worker == worker_id]
