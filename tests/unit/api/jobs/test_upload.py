"""File uploads: the job exists before the first byte, chunks before the last, and errors leave nothing."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.ledger import JobState
from tests.unit.gateway_fakes import FakeRedis
from tests.unit.job_stage import run_chunks, submission
from tests.unit.upload_stage import (
    AS_CSV,
    CSV,
    HEADER,
    KEY,
    Stage,
    accepted_rows,
    job_of,
    objects,
    post,
    stored_rows,
    upload_stage,
)


@pytest.fixture
def client() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
async def stage(client: FakeRedis, tmp_path: Path) -> AsyncIterator[Stage]:
    async with upload_stage(client, tmp_path) as started:
        yield started


async def test_a_csv_becomes_a_job_with_its_terms(stage: Stage) -> None:
    gateway, http = stage
    answer = await post(
        http, CSV, reference="lot 7", tag=["a", "b"], priority=8, max_errors="1", expires_in_s=60
    )
    assert (answer.status_code, answer.headers["retry-after"].isdigit()) == (202, True)
    job = answer.json()
    assert (job["state"], job["rows_total"], job["tags"]) == ("queued", 5, ["a", "b"])
    assert (job["reference"], job["priority"]) == ("lot 7", 8)
    assert await stored_rows(gateway, job["id"]) == [0, 1, 2, 3, 4]
    assert [c.rows for c in await gateway.jobs.ledger.chunks(job["id"])] == [2, 2, 1]


@pytest.mark.parametrize(
    ("query", "status"), [({"model": "nope"}, 404), ({"priority": "11"}, 422), ({"colour": "red"}, 422)]
)
async def test_a_wrong_parameter_makes_no_job(
    stage: Stage, client: FakeRedis, query: dict[str, str], status: int
) -> None:
    _, http = stage
    assert (await post(http, CSV, AS_CSV, **query)).status_code == status
    assert [key for key in await client.keys("*job*") if b":job:" in key] == []


async def test_workers_may_start_before_the_upload_ends(stage: Stage) -> None:
    gateway, http = stage
    seen: list[int] = []

    async def slow() -> AsyncIterator[bytes]:
        yield HEADER + b"1,1,1,1\n" * 300_000  # more than two blocks of the parser
        (job,) = await gateway.jobs.ledger.newest(None, before_ms=None, most=5)
        assert job.state is JobState.UPLOADING
        while not seen:
            chunks = await gateway.jobs.ledger.chunks(job.id)
            seen.extend(chunk.rows for chunk in chunks)
            await asyncio.sleep(0.002)
        yield b"2,2,2,2\n"

    object.__setattr__(gateway.settings, "chunk_rows", 50_000)
    answer = await post(http, slow())
    assert answer.json()["rows_total"] == 300_001
    assert 0 < seen[0] < 300_000


async def test_an_upload_that_is_refused_as_overloaded_leaves_no_job_and_no_reservation(
    stage: Stage, client: FakeRedis
) -> None:
    gateway, http = stage
    with gateway.jobs.uploads.held(), gateway.jobs.uploads.held():
        for _ in range(5):
            refused = await post(http, CSV, AS_CSV | KEY)
            assert (refused.status_code, refused.json()["error"]) == (503, "overloaded")
            assert "location" not in refused.headers
    assert await gateway.jobs.ledger.newest(None, before_ms=None, most=5) == []
    taken = await post(http, CSV, AS_CSV | KEY)
    assert (taken.status_code, taken.headers.get("idempotent-replayed")) == (202, None)
    assert gateway.jobs.uploads.running == 0


async def test_a_known_length_past_the_limit_is_refused_at_once(stage: Stage, client: FakeRedis) -> None:
    _, http = stage
    answer = await post(http, b"x" * 20_000_001)
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")
    assert [key for key in await client.keys("*job*") if b":job:" in key] == []


async def test_a_stream_past_the_limit_is_cut_and_its_chunks_removed(stage: Stage, tmp_path: Path) -> None:
    gateway, http = stage
    object.__setattr__(gateway.settings, "chunk_rows", 50_000)
    answer = await post(
        http, gzip.compress(HEADER + b"1,1,1,1\n" * 3_000_000), AS_CSV | {"content-encoding": "gzip"}
    )
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")
    job = await job_of(http, answer)
    assert (job["state"], job["error"]["code"]) == ("failed", "payload_too_large")
    assert objects(tmp_path) == []


async def test_a_file_that_cannot_be_read_fails_its_job_with_the_reason(stage: Stage, tmp_path: Path) -> None:
    _, http = stage
    answer = await post(http, b"a,b\n1,2\n", AS_CSV | KEY)
    assert (answer.status_code, answer.json()["error"]) == (422, "validation_error")
    job = await job_of(http, answer)
    assert job["state"] == "failed"
    assert "'sepal_length' is missing" in job["error"]["detail"]
    assert objects(tmp_path) == []
    assert (await post(http, CSV, AS_CSV | KEY)).status_code == 202  # the key is free again


async def _broken_off(stage: Stage, body: bytes) -> None:
    """A request with a client that sends a part and disconnects after some rows are stored."""
    gateway, http = stage
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/jobs",
        "raw_path": b"/jobs",
        "query_string": b"model=iris",
        "headers": [(b"content-type", b"text/csv"), (b"idempotency-key", b"lot-7")],
    }
    waiting = [{"type": "http.request", "body": body, "more_body": True}]

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop()
        await accepted_rows(gateway)
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None: ...

    await http._transport.app(scope, receive, send)  # type: ignore[attr-defined]


async def test_an_upload_that_breaks_off_fails_and_leaves_nothing(stage: Stage, tmp_path: Path) -> None:
    gateway, http = stage
    object.__setattr__(gateway.settings, "chunk_rows", 50_000)
    body = HEADER + b"1,1,1,1\n" * 300_000
    await _broken_off(stage, body)
    (job,) = await gateway.jobs.ledger.newest(None, before_ms=None, most=5)
    assert job.error is not None
    assert (job.state, job.error.code) == (JobState.FAILED, "upload_interrupted")
    assert job.rows_accepted > 0
    assert objects(tmp_path) == []
    assert (await post(http, CSV, AS_CSV | KEY)).status_code == 202  # the key is free again


async def test_an_upload_that_stands_still_is_broken_off(stage: Stage) -> None:
    gateway, http = stage
    object.__setattr__(gateway.settings, "upload_idle_s", 0.2)
    hung = asyncio.Event()

    async def standing() -> AsyncIterator[bytes]:
        yield HEADER
        await hung.wait()

    answer = await post(http, standing())
    assert (answer.status_code, answer.json()["error"]) == (408, "upload_interrupted")
    assert (await job_of(http, answer))["error"]["code"] == "upload_interrupted"


async def test_an_upload_whose_job_is_canceled_ends_with_the_job(stage: Stage) -> None:
    gateway, http = stage

    async def canceled() -> AsyncIterator[bytes]:
        yield HEADER + b"1,1,1,1\n" * 200_000
        (job,) = await gateway.jobs.ledger.newest(None, before_ms=None, most=5)
        await gateway.jobs.ledger.cancel(job.id)
        yield HEADER + b"1,1,1,1\n" * 200_000

    object.__setattr__(gateway.settings, "chunk_rows", 50_000)
    answer = await post(http, canceled())
    assert (answer.status_code, answer.json()["state"]) == (202, "canceled")


async def test_a_packed_json_body_is_unpacked(stage: Stage) -> None:
    _, http = stage
    body = gzip.compress(json.dumps(submission(3)).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert (await http.post("/jobs", content=body, headers=headers)).json()["rows_total"] == 3
    assert (await http.post("/jobs", content=body[:-9], headers=headers)).status_code == 422


async def test_validate_only_reports_and_leaves_no_job(
    stage: Stage, client: FakeRedis, tmp_path: Path
) -> None:
    _, http = stage
    report = (await post(http, CSV + b"x,1,1,1\n", validate_only="true")).json()
    assert (report["valid"], report["rows_total"], report["rows_invalid"]) == (False, 6, 1)
    assert report["problems"] == [{"row": 5, "line": 7, "reason": "sepal_length: 'x' is not a number"}]
    rows = submission(2, validate_only=True)
    rows["inputs"].append([1, 1, 1])
    report = (await http.post("/jobs", json=rows)).json()
    assert (report["valid"], report["rows_valid"], report["problems"][0]["row"]) == (False, 2, 2)
    assert [key for key in await client.keys("*job*") if b":job:" in key] == []
    assert objects(tmp_path) == []


async def test_who_waits_gets_the_finished_job(stage: Stage) -> None:
    gateway, http = stage

    async def work() -> None:
        for _ in range(1000):
            jobs = await gateway.jobs.ledger.newest(None, before_ms=None, most=1)
            if jobs and jobs[0].rows_total is not None:
                return await run_chunks(gateway, jobs[0].id)
            await asyncio.sleep(0.005)

    working = asyncio.create_task(work())
    answer = await post(http, CSV, AS_CSV | {"prefer": "wait=5"})
    await working
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
    assert answer.headers["preference-applied"] == "wait=5"


async def test_who_waits_too_short_gets_the_job_as_it_is(stage: Stage) -> None:
    _, http = stage
    answer = await post(http, CSV, AS_CSV | {"prefer": "wait=0"})
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")


async def test_a_prediction_that_prefers_so_becomes_a_job(stage: Stage) -> None:
    _, http = stage
    headers = {"prefer": "respond-async"}
    one = {"sepal_length": 1, "sepal_width": 1, "petal_length": 1, "petal_width": 1}
    for path, body, rows in (("/predict", one, 1), ("/models/iris/predict/batch", {"inputs": [one, one]}, 2)):
        answer = await http.post(path, json=body, headers=headers)
        assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async")
        job = await job_of(http, answer)
        assert (job["state"], job["rows_total"]) == ("queued", rows)
    assert (await http.post("/predict", json={}, headers=headers)).status_code == 422


async def test_no_more_uploads_are_read_at_a_time_than_there_are_threads(stage: Stage) -> None:
    _, http = stage
    answers: list[httpx.Response] = []

    async def nested(depth: int) -> AsyncIterator[bytes]:
        yield CSV
        answers.append(await post(http, nested(depth - 1) if depth else CSV))

    assert (await post(http, nested(1))).status_code == 202
    assert [answer.status_code for answer in answers] == [503, 202]
