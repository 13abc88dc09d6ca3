"""`POST /jobs`: rows are stored, the ledger knows them, the answer says where to ask."""

from __future__ import annotations

import asyncio

import structlog
from fastapi import APIRouter, Request, Response

from api.bodies import read_json
from api.errors import of_errors
from api.gateway import Gateway
from api.jobs.views import POLL_AFTER_S, JobView, as_json, view_of
from api.principals import Asker, Principal
from api.state import GatewayState
from api.submissions import Chunk, Submission, chunks_of, read_submission
from shared.errors import TaktError
from shared.ledger import JobRecord, NewJob, new_job_id
from shared.payloads import rows_path
from shared.repository import ModelVersion

log = structlog.get_logger()
router = APIRouter()


@router.post("/jobs", status_code=202, response_model=JobView, responses=of_errors(413, 415, 422, 404, 503))
async def submit(request: Request, gateway: GatewayState, asker: Asker) -> Response:
    """Hand over rows; the answer says where to ask for them."""
    body = await read_json(dict(request.headers.raw), request.receive, gateway.settings.max_job_body_bytes)
    submission, version, chunks = await asyncio.to_thread(_prepare, gateway, body)
    gateway.link.require()
    record = await _open(gateway, asker, submission, version)
    record = await _store(gateway, record, chunks)
    headers = {"Location": f"/jobs/{record.id}", "Retry-After": str(POLL_AFTER_S)}
    return as_json(view_of(record), 202, headers)


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
