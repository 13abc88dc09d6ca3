"""/jobs: work that is handed over now and fetched later. All of a job's state is the ledger's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from api.bodies import read_json
from api.errors import of_errors
from api.gateway import Gateway
from api.principals import Asker, Principal
from api.results import pieces_of, results_json
from api.state import GatewayState
from api.submissions import Chunk, Submission, chunks_of, read_submission
from shared.errors import JobNotFound, ResultsNotReady, TaktError
from shared.ledger import JobRecord, JobState, NewJob, new_job_id
from shared.payloads import rows_path
from shared.repository import ModelVersion

log = structlog.get_logger()
router = APIRouter(tags=["jobs"])

POLL_AFTER_S = 1


class JobError(BaseModel):
    code: str
    detail: str


class JobView(BaseModel):
    """A job as its owner sees it; times are UTC."""

    id: str
    state: JobState
    model: str
    version: str
    digest: str
    reference: str
    tags: list[str]
    priority: int
    rows_total: int | None
    rows_succeeded: int
    rows_failed: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: JobError | None
    links: dict[str, str]


class JobResults(BaseModel):
    """Results in the order of the inputs: each the model's outputs, or only `error`."""

    job_id: str
    results: list[dict[str, Any]]
    total_count: int


@router.post("/jobs", status_code=202, response_model=JobView, responses=of_errors(413, 415, 422, 404, 503))
async def submit(request: Request, gateway: GatewayState, asker: Asker) -> Response:
    """Hand over rows; the answer says where to ask for them."""
    body = await read_json(dict(request.headers.raw), request.receive, gateway.settings.max_job_body_bytes)
    submission, version, chunks = await asyncio.to_thread(_prepare, gateway, body)
    gateway.link.require()
    record = await _open(gateway, asker, submission, version)
    record = await _store(gateway, record, chunks)
    headers = {"Location": f"/jobs/{record.id}", "Retry-After": str(POLL_AFTER_S)}
    return _json(_view(record), 202, headers)


@router.get("/jobs/{job_id}", response_model=JobView, responses=of_errors(404, 503))
async def job(job_id: str, gateway: GatewayState, asker: Asker) -> Response:
    """How a job does."""
    record = await _own(gateway, asker, job_id)
    return _json(_view(record), 200, {} if record.state.ended else {"Retry-After": str(POLL_AFTER_S)})


@router.get("/jobs/{job_id}/results", response_model=JobResults, responses=of_errors(404, 409, 422, 503))
async def results(
    job_id: str,
    gateway: GatewayState,
    asker: Asker,
    offset: Annotated[int, Query(ge=0, description="The first row")] = 0,
    limit: Annotated[int | None, Query(ge=0, description="At most so many rows")] = None,
) -> Response:
    """The results of a job that has succeeded, in the order of its inputs."""
    record = await _own(gateway, asker, job_id)
    if record.state is not JobState.SUCCEEDED:
        raise _not_ready(record)
    pieces = pieces_of(await gateway.ledger.chunks(job_id), offset, limit)
    parts = results_json(gateway.payloads, job_id, pieces, record.rows_total or 0)
    head = await anext(parts) + await anext(parts)  # a result that is gone is still an honest error here
    return StreamingResponse(_chain(head, parts), media_type="application/json")


def _prepare(gateway: Gateway, body: bytes) -> tuple[Submission, ModelVersion, list[Chunk]]:
    """Everything that can be wrong with a submission is found before a job exists."""
    submission = read_submission(body)
    servable = gateway.catalog.find(submission.model, submission.version)
    version = gateway.catalog.repository.version(submission.model, servable.version)
    chunks = chunks_of(
        servable.validator,
        submission.inputs,
        chunk_rows=gateway.settings.chunk_rows,
        chunk_bytes=gateway.settings.chunk_bytes,
    )
    return submission, version, chunks


async def _open(
    gateway: Gateway, asker: Principal, submission: Submission, version: ModelVersion
) -> JobRecord:
    new = NewJob(
        id=new_job_id(),
        model=version.manifest.model,
        version=version.manifest.version,
        digest=version.manifest.sha256,
        owner=asker.name,
        reference=submission.reference,
        tags=tuple(submission.tags),
    )
    return await gateway.ledger.open_job(new)


async def _store(gateway: Gateway, record: JobRecord, chunks: list[Chunk]) -> JobRecord:
    """Rows first, then the ledger: no chunk is ready whose rows are not there."""
    try:
        for index, chunk in enumerate(chunks):
            await gateway.payloads.put_async(rows_path(record.id, index), chunk.data)
            await gateway.ledger.append_chunks(record.id, record.key, [chunk.rows])
        sealed = await gateway.ledger.seal(record.id)
    except TaktError as error:
        await gateway.ledger.fail_job(record.id, error.code, "The rows could not be stored.")
        raise
    log.info("job_submitted", job_id=sealed.id, key=sealed.key, rows=sealed.rows_total, chunks=len(chunks))
    return sealed


async def _own(gateway: Gateway, asker: Principal, job_id: str) -> JobRecord:
    """Raises JobNotFound where there is no such job, or where it is somebody else's."""
    gateway.link.require()
    record = await gateway.ledger.read(job_id)
    if not asker.owns(record.owner):
        raise JobNotFound(f"There is no job {job_id!r}.")
    return record


def _not_ready(record: JobRecord) -> ResultsNotReady:
    if record.state.ended:
        return ResultsNotReady(f"The job has ended as {record.state}; it has no complete results.")
    return ResultsNotReady(f"The job is {record.state}.", retry_after_s=POLL_AFTER_S)


def _view(record: JobRecord) -> JobView:
    path = f"/jobs/{record.id}"
    return JobView(
        id=record.id,
        state=record.state,
        model=record.model,
        version=record.version,
        digest=record.digest,
        reference=record.reference,
        tags=list(record.tags),
        priority=record.priority,
        rows_total=record.rows_total,
        rows_succeeded=record.rows_succeeded,
        rows_failed=record.rows_failed,
        created_at=_moment(record.created_at_ms),
        started_at=_moment(record.started_at_ms) if record.started_at_ms is not None else None,
        finished_at=_moment(record.finished_at_ms) if record.finished_at_ms is not None else None,
        error=JobError(code=record.error.code, detail=record.error.detail) if record.error else None,
        links={"self": path, "results": f"{path}/results"},
    )


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _json(view: JobView, status: int, headers: dict[str, str]) -> Response:
    return Response(view.model_dump_json(), status, headers, media_type="application/json")


async def _chain(head: bytes, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for part in parts:
        yield part
