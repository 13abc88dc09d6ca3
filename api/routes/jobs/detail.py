"""`GET /jobs/{id}`: the state of a job, and its timeline."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response

from api.access.principal import Caller
from api.gateway import GatewayState
from api.http.error_answers import of_errors
from api.http.headers import field_of, preferred_wait_s, text_field
from api.http.request_bodies import has_left
from api.jobs.authorization import own_job
from api.jobs.job_descriptions import described
from api.jobs.job_timeline import Timeline, timeline_of
from api.jobs.job_views import JobView, as_json, etag_of, matches
from api.jobs.prefer_wait import ended_within

router = APIRouter()
_PREFER = "`wait=N`: respond when the job has ended, at the latest after N seconds (RFC 7240)"
_UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The job has not changed since the `ETag` in `If-None-Match`"}
}
"""FastAPI's `responses` (Any: FastAPI's own type)."""


@router.get("/jobs/{job_id}", response_model=JobView, responses=of_errors(404, 410, 503) | _UNCHANGED)
async def job(
    job_id: str,
    request: Request,
    gateway: GatewayState,
    caller: Caller,
    *,
    if_none_match: Annotated[str | None, Header(description="An `ETag` of this job")] = None,
    prefer: Annotated[str | None, Header(description=_PREFER)] = None,
) -> Response:
    """State and progress of a job, the reason why it waits, and when to poll again (`Retry-After`)."""
    record = await own_job(gateway.jobs, caller, job_id)
    asked_s = preferred_wait_s(field_of(request.headers.raw, b"prefer")) if prefer else None
    applied: dict[str, str] = {}
    if asked_s is not None:
        await request.body()
        left = partial(has_left, request.receive)
        record, granted_s = await ended_within(gateway.jobs, record, asked_s, left=left)
        applied["Preference-Applied"] = f"wait={granted_s}"
    view, headers = await described(gateway.jobs, record)
    headers |= applied
    headers["ETag"] = etag = etag_of(view)
    if matches(text_field(request.scope, "if-none-match") if if_none_match else None, etag):
        return Response(status_code=304, headers=headers)
    return as_json(view, 200, headers)


@router.get(
    "/jobs/{job_id}/timeline",
    response_model_exclude_none=True,
    responses=of_errors(404, 410, 503),
)
async def timeline(job_id: str, gateway: GatewayState, caller: Caller) -> Timeline:
    """The events of a job: uploaded, started, paused by a key, failed attempts, webhook deliveries, …"""
    record = await own_job(gateway.jobs, caller, job_id)
    attempts = await gateway.jobs.ledger.webhook_attempts(job_id) if record.webhook_url else {}
    return timeline_of(record, attempts.get(job_id, ()))
