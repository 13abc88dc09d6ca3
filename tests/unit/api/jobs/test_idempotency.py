"""A repeated Idempotency-Key returns the same job, however the rows were submitted, and never creates two."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.exceptions import ConnectionError as ConnectionBroke

from shared.ledger import JobRecord
from tests.unit.gateway_fakes import FakeRedis, until
from tests.unit.job_stage import run_chunks, submission
from tests.unit.upload_stage import (
    AS_CSV,
    CSV,
    KEY,
    Stage,
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


async def test_the_same_key_and_body_are_the_same_job_however_they_are_packed(stage: Stage) -> None:
    gateway, http = stage
    first = await post(http, CSV, AS_CSV | KEY)
    again = await post(http, CSV, AS_CSV | KEY)
    packed = await post(http, gzip.compress(CSV), AS_CSV | KEY | {"content-encoding": "gzip"})
    for answer in (again, packed):
        assert (answer.status_code, answer.headers["idempotent-replayed"]) == (202, "true")
        assert answer.headers["location"] == first.headers["location"]
    assert "idempotent-replayed" not in first.headers
    await run_chunks(gateway, first.json()["id"])
    over = await post(http, CSV, AS_CSV | KEY)
    assert (over.status_code, over.json()["state"]) == (200, "succeeded")


@pytest.mark.parametrize("query", [{}, {"priority": "9"}])
async def test_the_same_key_with_another_body_or_other_terms_is_a_conflict(
    stage: Stage, query: dict[str, str]
) -> None:
    _, http = stage
    await post(http, CSV, AS_CSV | KEY)
    answer = await post(http, CSV if query else CSV + b"9,9,9,9\n", AS_CSV | KEY, **query)
    assert (answer.status_code, answer.json()["error"]) == (409, "idempotency_conflict")


async def test_a_key_whose_first_body_is_still_coming_is_in_progress(stage: Stage) -> None:
    _, http = stage
    answers: list[httpx.Response] = []

    async def slow() -> AsyncIterator[bytes]:
        yield CSV
        answers.append(await post(http, CSV, AS_CSV | KEY))

    assert (await post(http, slow(), AS_CSV | KEY)).status_code == 202
    assert (answers[0].status_code, answers[0].json()["error"]) == (409, "idempotency_in_progress")
    assert int(answers[0].headers["retry-after"]) > 0


@pytest.mark.parametrize("kind", ["csv", "json"])
async def test_a_repeated_request_returns_the_same_job_if_the_answer_to_its_sealing_was_lost(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    gateway, http = stage
    name = "seal" if kind == "csv" else "fill"
    seal = getattr(gateway.jobs.ledger, name)

    async def sealed_unheard(*said: Any, **options: Any) -> JobRecord:
        await seal(*said, **options)
        raise ConnectionBroke("it broke before the answer")

    async def send() -> httpx.Response:
        if kind == "csv":
            return await post(http, CSV, AS_CSV | KEY)
        return await http.post("/jobs", json=submission(5), headers=KEY)

    with monkeypatch.context() as broken:
        broken.setattr(gateway.jobs.ledger, name, sealed_unheard)
        assert (await send()).status_code == 503
    again = await send()
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    await run_chunks(gateway, again.json()["id"])
    assert (await job_of(http, again))["rows_succeeded"] == 5


async def test_a_key_is_in_progress_if_its_gateway_died_before_sealing_the_job(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, http = stage

    async def unreachable(*_: object, **_options: object) -> None:
        raise ConnectionBroke("it is gone")

    monkeypatch.setattr(gateway.jobs.ledger, "seal", unreachable)
    monkeypatch.setattr(gateway.jobs.ledger, "fail_job", unreachable)
    assert (await post(http, CSV, AS_CSV | KEY)).status_code == 503
    again = await post(http, CSV, AS_CSV | KEY)
    assert (again.status_code, again.json()["error"]) == (409, "idempotency_in_progress")


async def test_an_upload_that_broke_off_with_the_queue_can_be_sent_again_once_that_is_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gateway, http = stage

    async def unreachable(*_: object, **_options: object) -> None:
        raise ConnectionBroke("it is gone")

    with monkeypatch.context() as gone:
        gone.setattr(gateway.jobs.ledger, "append_chunks", unreachable)
        gone.setattr(gateway.jobs.ledger, "fail_job", unreachable)
        broken = await post(http, CSV, AS_CSV | KEY)
    assert broken.status_code == 503
    await until(lambda: not objects(tmp_path))
    assert (await job_of(http, broken))["error"]["code"] == "queue_unavailable"
    again = await post(http, CSV, AS_CSV | KEY)
    assert (again.status_code, "idempotent-replayed" in again.headers) == (202, False)
    assert await stored_rows(gateway, again.json()["id"]) == [0, 1, 2, 3, 4]


async def test_json_jobs_obey_the_key_too(stage: Stage) -> None:
    _, http = stage
    first = await http.post("/jobs", json=submission(3), headers=KEY)
    again = await http.post("/jobs", json=submission(3), headers=KEY)
    other = await http.post("/jobs", json=submission(4), headers=KEY)
    assert first.headers["location"] == again.headers["location"]
    assert (again.headers["idempotent-replayed"], other.status_code) == ("true", 409)
    assert (
        await http.post("/jobs", json=submission(3), headers={"idempotency-key": "x" * 256})
    ).status_code == 422


async def test_a_small_job_in_json_is_made_once_under_its_key(stage: Stage) -> None:
    _, http = stage
    first, again = [await http.post("/jobs", json=submission(1), headers=KEY) for _ in range(2)]
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    assert again.json()["id"] == first.json()["id"]
    other = await http.post("/jobs", json=submission(2), headers=KEY)
    assert (other.status_code, other.json()["error"]) == (409, "idempotency_conflict")
