"""`GET /jobs/{id}/timeline`: the events of a job, with times and callers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from api.gateway import Gateway
from api.jobs.job_timeline import timeline_of
from shared import keys
from shared.ledger import WebhookAttempt
from tests.support.access import holder, keep
from tests.unit.gateway_fakes import FakeRedis
from tests.unit.job_stage import job_stage, run_chunks, submission

MES, LEAD = holder("mes", "submit", "read"), holder("lead", "admin")
OTHER, AUDITOR = holder("other", "submit", "read"), holder("audit", "audit")
Stage = tuple[Gateway, httpx.AsyncClient]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    client = FakeRedis()
    await keep(client, MES, LEAD, OTHER, AUDITOR)
    async with job_stage(client, tmp_path, access="keys", inline_job_bytes=0) as started:
        yield started


async def submitted(http: httpx.AsyncClient, rows: int = 5) -> str:
    answer = await http.post("/jobs", json=submission(rows), headers=MES.headers)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


async def events(http: httpx.AsyncClient, job_id: str, key: Any = MES) -> list[dict[str, Any]]:
    job = (await http.get(f"/jobs/{job_id}", headers=key.headers)).json()
    answer = await http.get(job["links"]["timeline"], headers=key.headers)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["events"]
    assert [event["at"] for event in found] == sorted(event["at"] for event in found)
    return [{name: value for name, value in event.items() if name != "at"} for event in found]


async def test_orders_name_the_key_that_gave_them_and_never_the_key_itself(stage: Stage) -> None:
    _, http = stage
    job_id = await submitted(http)
    await http.post(f"/jobs/{job_id}/pause", headers=LEAD.headers)
    await http.patch(f"/jobs/{job_id}", json={"priority": 9}, headers=LEAD.headers)
    await http.post(f"/jobs/{job_id}/resume", headers=MES.headers)
    many = {"action": "cancel", "filter": {"search": job_id}}
    assert (await http.post("/jobs/actions", json=many, headers=LEAD.headers)).json()["changed"] == 1
    found = await events(http, job_id)
    assert [(event["event"], event.get("by")) for event in found if "by" in event] == [
        ("submitted", "mes"),
        ("paused", "lead"),
        ("priority_changed", "lead"),
        ("resumed", "mes"),
        ("cancel_requested", "lead"),
    ]
    assert found[-1] == {"event": "canceled", "rows": 0}
    text = (await http.get(f"/jobs/{job_id}/timeline", headers=MES.headers)).text
    assert not any(key.token in text for key in (MES, LEAD))


async def test_the_events_of_a_job_are_listed_from_its_submission_to_its_end(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http)
    await run_chunks(gateway, job_id)
    found = await events(http, job_id)
    assert [event["event"] for event in found] == [
        "submitted",
        "uploaded",
        "started",
        "chunks_ended",
        "succeeded",
    ]
    assert found[1] == {"event": "uploaded", "rows": 5, "chunks_total": 3}
    assert 0 <= found[2]["waited_s"] < 60
    assert found[3] == {"event": "chunks_ended", "chunks_ended": 2, "chunks_total": 3}
    assert found[4] == {"event": "succeeded", "rows": 5}


async def test_deliveries_of_the_webhook_are_part_of_the_timeline(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http)
    await run_chunks(gateway, job_id)
    record = msgspec.structs.replace(
        await gateway.jobs.ledger.read(job_id), webhook_url="https://mes.example/done"
    )
    assert record.finished_at_ms
    first = WebhookAttempt(at_ms=record.finished_at_ms + 5, status=None, error="no route", next_at_ms=10**13)
    second = WebhookAttempt(at_ms=record.finished_at_ms + 9, status=204, error="", next_at_ms=None)
    *_, end, failed, delivered = timeline_of(record, [first, second]).events
    assert (end.event, failed.event, delivered.event) == ("succeeded", "webhook_attempt", "webhook_attempt")
    assert (failed.status, failed.reason, failed.next_at is not None) == (None, "no route", True)
    assert (delivered.status, delivered.reason, delivered.next_at) == (204, None, None)


async def test_a_job_of_an_earlier_version_has_the_events_of_its_record(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http)
    await gateway.client.hdel(keys.job(job_id), "timeline")
    assert [event["event"] for event in await events(http, job_id)] == ["submitted"]


async def test_a_caller_who_may_read_a_job_may_read_its_timeline(stage: Stage) -> None:
    _, http = stage
    job_id = await submitted(http)
    path = f"/jobs/{job_id}/timeline"
    assert (await http.get(path, headers=OTHER.headers)).json()["error"] == "job_not_found"
    assert [(await http.get(path, headers=key.headers)).status_code for key in (MES, LEAD, AUDITOR)] == [
        200
    ] * 3
    assert (await http.get("/jobs/unknown/timeline", headers=MES.headers)).status_code == 404
