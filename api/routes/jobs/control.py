"""Control of a job by its owner: cancel, pause, resume, change the priority, delete."""

from __future__ import annotations

import asyncio
from typing import Annotated, TypeAlias

import structlog
from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.access.principal import Caller
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from api.http.headers import require_match
from api.jobs.authorization import own_job
from api.jobs.job_descriptions import described
from api.jobs.job_service import JobService
from api.jobs.job_views import JobView, as_json
from shared.errors import InvalidStateError, PayloadError
from shared.ledger import JobRecord, JobState

router = APIRouter()
log = structlog.get_logger(__name__)

_CANCELED = (JobState.CANCELING, JobState.CANCELED)
_GOING = (JobState.UPLOADING, JobState.QUEUED, JobState.RUNNING)
_ERRORS = of_errors(404, 409, 410, 503)


IfMatch: TypeAlias = Annotated[
    str | None, Header(description="`*`; any other value is 412, because a job has no strong `ETag`")
]


class JobChange(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"priority": 9}]})

    priority: int = Field(
        ge=0, le=9, strict=True, description="Weight of the job: 9 gets ten times the rows of 0"
    )


@router.post("/jobs/{job_id}/cancel", response_model=JobView, responses=_ERRORS)
async def cancel(job_id: str, gateway: GatewayState, caller: Caller) -> Response:
    """Cancel a job.

    No further chunk starts, running chunks stop at their next slice, finished results stay.
    """
    record = await own_job(gateway.jobs, caller, job_id, to_change=True)
    await cancel_job(gateway.jobs, record, by=caller.name)
    return await _now(gateway, job_id)


@router.post("/jobs/{job_id}/pause", response_model=JobView, responses=_ERRORS)
async def pause(job_id: str, gateway: GatewayState, caller: Caller) -> Response:
    """Pause a job. No chunk starts until the job is resumed; running chunks stop and run again then."""
    record = await own_job(gateway.jobs, caller, job_id, to_change=True)
    await pause_job(gateway.jobs, record, by=caller.name)
    return await _now(gateway, job_id)


@router.post("/jobs/{job_id}/resume", response_model=JobView, responses=_ERRORS)
async def resume(job_id: str, gateway: GatewayState, caller: Caller) -> Response:
    """Resume a paused job. A job that is queued or running is not changed."""
    record = await own_job(gateway.jobs, caller, job_id, to_change=True)
    await resume_job(gateway.jobs, record, by=caller.name)
    return await _now(gateway, job_id)


@router.patch("/jobs/{job_id}", response_model=JobView, responses=_ERRORS | of_errors(412, 422))
async def change(
    job_id: str,
    change: JobChange,
    request: Request,
    gateway: GatewayState,
    caller: Caller,
    *,
    if_match: IfMatch = None,  # noqa: ARG001 - read with all its lines
) -> Response:
    """Change the priority of a job. It applies from the next chunk."""
    record = await own_job(gateway.jobs, caller, job_id, to_change=True)
    _require(record.state, not record.state.ended, "assigned a new priority")
    require_match(request.scope)
    await prioritize_job(gateway.jobs, record, change.priority, by=caller.name)
    return await _now(gateway, job_id)


@router.delete("/jobs/{job_id}", status_code=204, responses=_ERRORS | of_errors(412))
async def delete(
    job_id: str,
    request: Request,
    gateway: GatewayState,
    caller: Caller,
    *,
    if_match: IfMatch = None,  # noqa: ARG001 - read with all its lines
) -> None:
    """Delete a job that has ended, with its rows and results."""
    record = await own_job(gateway.jobs, caller, job_id, to_change=True)
    _require(record.state, record.state.ended, "deleted; cancel it first")
    require_match(request.scope)
    await delete_job(gateway.jobs, record)


async def cancel_job(jobs: JobService, record: JobRecord, *, by: str) -> JobState:
    """Returns the new state, as the other functions do. `by`: the caller. Raises InvalidStateError."""
    state = await jobs.ledger.cancel(record.id, by=by)
    return _require(state, state in _CANCELED, "canceled")


async def pause_job(jobs: JobService, record: JobRecord, *, by: str) -> JobState:
    state = await jobs.ledger.pause(record.id, by=by)
    return _require(state, state is JobState.PAUSED, "paused")


async def resume_job(jobs: JobService, record: JobRecord, *, by: str) -> JobState:
    state = await jobs.ledger.resume(record.id, record.key, by=by)
    return _require(state, state in _GOING, "resumed")


async def prioritize_job(jobs: JobService, record: JobRecord, priority: int, *, by: str) -> JobState:
    state = await jobs.ledger.prioritize(record.id, priority, by=by)
    return _require(state, not state.ended, "assigned a new priority")


async def delete_job(jobs: JobService, record: JobRecord) -> None:
    """Raises InvalidStateError."""
    _require(record.state, record.state.ended, "deleted; cancel it first")
    # the ledger first: a reader that misses a result would cause the job to be computed again
    if not await jobs.ledger.delete(record.id):
        raise InvalidStateError("The job is running again because a stored result was lost; cancel it first.")
    try:
        await asyncio.to_thread(jobs.payloads.remove_job, record.id)
    except PayloadError as error:  # workers remove the objects later, see worker/chunks/orphaned_payloads.py
        log.warning("payloads_not_removed", job_id=record.id, reason=error.detail)


def _require(state: JobState, allowed: bool, verb: str) -> JobState:
    if not allowed:
        raise InvalidStateError(f"The job is {state}; it cannot be {verb}.")
    return state


async def _now(gateway: Gateway, job_id: str) -> Response:
    view, headers = await described(gateway.jobs, await gateway.jobs.ledger.read(job_id))
    return as_json(view, 200, headers)
