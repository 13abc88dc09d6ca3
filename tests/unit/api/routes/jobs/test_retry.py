"""Retries of ended jobs, searches for jobs, and actions on many jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.gateway import Gateway
from tests.unit.gateway_fakes import FakeRedis
from tests.unit.job_stage import job_stage, run_chunks, submission

Stage = tuple[Gateway, httpx.AsyncClient]
CHUNK = 3


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with job_stage(FakeRedis(), tmp_path, chunk_rows=CHUNK) as (gateway, http):
        yield gateway, http


async def submitted(http: httpx.AsyncClient, rows: int = 8, **more: Any) -> str:
    answer = await http.post("/jobs", json=submission(rows, **more))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def job_of(http: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(f"/jobs/{job_id}")).json()
    return found


async def retried(http: httpx.AsyncClient, job_id: str, **body: Any) -> dict[str, Any]:
    answer = await http.post(f"/jobs/{job_id}/retry", json=body)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


async def test_a_retry_runs_the_failed_rows_alone_in_their_order(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http, 8, reference="lot 7")
    await run_chunks(gateway, job_id, failing=1)
    before = await job_of(http, job_id)
    assert before["rows_failed"] > 0
    failed = [error["row"] for error in (await http.get(f"/jobs/{job_id}/errors")).json()["errors"]]
    job = await retried(http, job_id, priority=9)
    assert (job["retry_of"], job["replay_of"], job["reference"]) == (job_id, None, "lot 7")
    assert (job["rows_total"], job["priority"]) == (len(failed), 9)
    await run_chunks(gateway, job["id"])
    assert (await job_of(http, job["id"]))["state"] == "succeeded"
    again = await submitted(http, 8)
    await run_chunks(gateway, again)
    whole = (await http.get(f"/jobs/{again}/results")).json()["results"]
    results = (await http.get(f"/jobs/{job['id']}/results")).json()["results"]
    assert results == [whole[row] for row in failed]


async def test_rows_that_did_not_run_before_a_job_was_canceled_are_retried(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http, 8)
    await run_chunks(gateway, job_id, most=1)
    assert (await http.post(f"/jobs/{job_id}/cancel")).status_code == 200
    job = await retried(http, job_id)
    assert job["rows_total"] == 8 - (await job_of(http, job_id))["rows_succeeded"]
    assert (await retried(http, job_id, rows="all"))["rows_total"] == 8


async def test_a_retry_is_refused_with_the_reason(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http, 8)
    answer = await http.post(f"/jobs/{job_id}/retry", json={})
    assert (answer.status_code, "only a job that has ended" in answer.text) == (409, True)
    await run_chunks(gateway, job_id)
    answer = await http.post(f"/jobs/{job_id}/retry", json={})
    assert (answer.status_code, "nothing failed" in answer.text) == (409, True)
    assert (await http.post(f"/jobs/{job_id}/retry", json={"rows": "some"})).status_code == 422
    assert (await http.post("/jobs/none/retry", json={})).status_code == 404


async def test_one_idempotency_key_makes_one_retry(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http, 8)
    await run_chunks(gateway, job_id)
    key = {"Idempotency-Key": "once"}
    asked = {"rows": "all"}
    answers = [await http.post(f"/jobs/{job_id}/retry", json=asked, headers=key) for _ in range(2)]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    other = await http.post(f"/jobs/{job_id}/retry", json=asked | {"priority": 1}, headers=key)
    assert other.status_code == 409


async def test_jobs_are_found_by_the_beginning_of_an_id_or_a_reference_and_by_a_tag(stage: Stage) -> None:
    _, http = stage
    first = await submitted(http, reference="Lot 4711 A", tags=["line-2"])
    second = await submitted(http, reference="other")

    async def found(text: str) -> list[str]:
        answer = await http.get("/jobs", params={"search": text})
        return [job["id"] for job in answer.json()["jobs"]]

    assert await found("lot 47") == [first]
    assert await found("LINE-2") == [first]
    assert await found(second[:8]) == [second]
    assert await found("4711") == []


async def test_an_action_changes_the_jobs_of_a_filter_and_reports_those_that_refuse(stage: Stage) -> None:
    gateway, http = stage
    done = await submitted(http, tags=["night"])
    await run_chunks(gateway, done)
    waiting = await submitted(http, tags=["night"])
    other = await submitted(http)
    asked: dict[str, Any] = {"action": "cancel", "filter": {"tag": "night"}}
    dry = (await http.post("/jobs/actions", json=asked | {"dry_run": True})).json()
    assert (dry["changed"], {job["id"] for job in dry["jobs"]}) == (0, {done, waiting})
    assert (await job_of(http, waiting))["state"] == "queued"
    outcome = (await http.post("/jobs/actions", json=asked)).json()
    assert (outcome["changed"], outcome["refused"], outcome["more"]) == (1, 1, False)
    refused = next(job for job in outcome["jobs"] if job["error"])
    assert (refused["id"], refused["error"]) == (done, "invalid_state")
    assert (await job_of(http, other))["state"] == "queued"
    first = (
        await http.post("/jobs/actions", json=asked | {"action": "retry", "rows": "all", "limit": 1})
    ).json()
    assert (first["changed"], first["more"]) == (1, True)
    assert (await job_of(http, first["jobs"][0]["retried_as"]))["retry_of"] == waiting
    gone = {"action": "delete", "filter": {"search": done}}
    assert (await http.post("/jobs/actions", json=gone)).json()["changed"] == 1
    assert (await http.get(f"/jobs/{done}")).status_code in (404, 410)
    raised = {"action": "prioritize", "priority": 9, "filter": {"search": other}}
    assert (await http.post("/jobs/actions", json=raised)).json()["changed"] == 1
    assert (await job_of(http, other))["priority"] == 9


@pytest.mark.parametrize(
    "asked", [{"action": "cancel", "filter": {}}, {"action": "prioritize", "filter": {"tag": "x"}}]
)
async def test_an_action_without_a_filter_or_its_priority_is_rejected(stage: Stage, asked: Any) -> None:
    _, http = stage
    assert (await http.post("/jobs/actions", json=asked)).status_code == 422


@pytest.mark.parametrize("rows", [2, 8])
async def test_the_stored_rows_are_those_that_were_submitted(stage: Stage, rows: int) -> None:
    gateway, http = stage
    job_id = await submitted(http, rows)
    stored = (await http.get(f"/jobs/{job_id}/input")).json()
    assert (stored["total_count"], [row["row"] for row in stored["rows"]]) == (rows, list(range(rows)))
    await run_chunks(gateway, job_id)
    page = (
        await http.get(f"/jobs/{job_id}/input", params={"offset": 1, "limit": 1, "format": "ndjson"})
    ).text
    assert page.count("\n") == 1
    assert '"row":1' in page
    text = (await http.get(f"/jobs/{job_id}/input", params={"format": "csv"})).text
    again = await http.post(
        "/jobs", params={"model": "iris"}, content=text, headers={"content-type": "text/csv"}
    )
    assert again.status_code == 202
    assert (await job_of(http, again.json()["id"]))["rows_failed"] == 0


async def test_the_chunks_show_their_attempts_and_workers(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http, 8)
    await run_chunks(gateway, job_id, failing=1)
    page = (await http.get(f"/jobs/{job_id}/chunks")).json()
    assert [chunk["first_row"] for chunk in page["chunks"]] == [0, 3, 6]
    assert page["retried"] == 0
    assert sum(page["workers"].values()) == page["total_count"] == 3
    assert (
        sum(chunk["rows_failed"] for chunk in page["chunks"]) == (await job_of(http, job_id))["rows_failed"]
    )
    assert (
        len((await http.get(f"/jobs/{job_id}/chunks", params={"offset": 1, "limit": 1})).json()["chunks"])
        == 1
    )
