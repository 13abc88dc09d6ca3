"""The job shortcuts respond exactly as FastAPI's routes do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.gateway import Gateway
from api.routes.jobs.shortcuts import JobShortcuts
from tests.unit.gateway_fakes import FakeRedis
from tests.unit.job_stage import job_stage, run_chunks, submission

OWN_HEADERS = {"x-request-id", "location"}
OWN_FIELDS = {"id", "created_at", "links", "request_id", "position", "waiting"}
"""The parts of an answer that differ between requests."""


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    async with job_stage(FakeRedis(), tmp_path) as started:
        yield started


def seen(answer: httpx.Response) -> tuple[int, dict[str, str], object]:
    headers = {name: value for name, value in answer.headers.items() if name not in OWN_HEADERS}
    if answer.headers["content-type"] != "application/json":
        return answer.status_code, headers, answer.content
    body: dict[str, object] = answer.json()
    return answer.status_code, headers, {name: body[name] for name in body if name not in OWN_FIELDS}


async def by_both_ways(
    http: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    **options: Any,  # httpx's own
) -> None:
    short = await http.request(method, path, **options)
    with monkeypatch.context() as patch:
        patch.setattr(JobShortcuts, "_answering", lambda *_: None)
        usual = await http.request(method, path, **options)
    assert seen(short) == seen(usual)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(submission(1)),
        json.dumps(submission(5)),
        json.dumps({"model": "iris", "inputs": [[1, "x", 1, 1]]}),
        json.dumps({"model": "nobody", "inputs": [[1]]}),
        json.dumps({"model": "iris", "inputs": [[1, 1, 1, 1]], "validate_only": True}),
        "{",
    ],
)
async def test_a_submission_is_answered_alike(
    stage: tuple[Gateway, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    headers = {"content-type": "application/json"}
    await by_both_ways(stage[1], monkeypatch, "POST", "/jobs", content=body, headers=headers)


@pytest.mark.parametrize("accept", ["*/*", "text/csv", "image/png"])
@pytest.mark.parametrize("runs", [True, False])
async def test_results_are_answered_alike(
    stage: tuple[Gateway, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch, accept: str, runs: bool
) -> None:
    gateway, http = stage
    job = (await http.post("/jobs", json=submission(1))).json()
    if runs:
        await run_chunks(gateway, job["id"])
    for path in (job["links"]["results"], "/jobs/nobody/results"):
        await by_both_ways(http, monkeypatch, "GET", path, headers={"accept": accept})


async def test_both_ways_are_counted_under_the_same_route(stage: tuple[Gateway, httpx.AsyncClient]) -> None:
    gateway, http = stage
    job = (await http.post("/jobs", json=submission(1))).json()
    await http.get(job["links"]["results"])
    await http.get(job["links"]["results"] + "?offset=0")
    counted = {answer: took_s.count for answer, took_s in gateway.telemetry.http}
    assert counted["POST", "/jobs", "202"] == 1
    assert counted["GET", "/jobs/{job_id}/results", "409"] == 2
