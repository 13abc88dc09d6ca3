"""`GET /jobs/{id}/input` and `/chunks`: the stored rows of a job, and how its chunks ran."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from api.access.principal import Caller
from api.gateway import GatewayState
from api.http.error_answers import of_errors
from api.http.parameter_errors import require_known_parameters
from api.jobs.authorization import own_job
from api.routes.jobs.results import Accept, FormatName, Limit, Offset, answered, contents
from shared.errors import InvalidStateError
from shared.job_payloads import JobObjects
from shared.ledger import ChunkRecord, ChunkState
from shared.tabular.content_negotiation import negotiated
from shared.tabular.file_formats import RESULT_FORMATS, FileFormat
from shared.tabular.input_tables import InputTables
from shared.tabular.result_pieces import readable, stored_pieces_of
from shared.tabular.writers import JsonWriter, row_objects, tabular, written

router = APIRouter()

MOST_CHUNKS = 1000


class ChunkView(BaseModel):
    """A chunk of a job: a slice of its rows that a worker runs at once."""

    index: int
    first_row: int
    rows: int
    state: ChunkState
    attempts: int = Field(description="Runs that were begun; more than one: a worker ended or lost the chunk")
    worker: str | None = Field(description="The worker that runs it, or ran it last")
    rows_failed: int
    error: str | None = Field(description="Why the whole chunk failed")


class ChunkPage(BaseModel):
    """A page of a job's chunks, in the order of the rows."""

    chunks: list[ChunkView]
    total_count: int
    workers: dict[str, int] = Field(description="Chunks of the whole job by the worker that ran them last")
    retried: int = Field(description="Chunks of the whole job with more than one attempt")


@router.get(
    "/jobs/{job_id}/input",
    responses=contents(*RESULT_FORMATS) | of_errors(404, 406, 409, 410, 422, 503),
    dependencies=[Depends(require_known_parameters)],
)
async def stored_input(
    job_id: str,
    gateway: GatewayState,
    caller: Caller,
    *,
    offset: Offset = 0,
    limit: Limit = None,
    name: FormatName = None,
    accept: Accept = None,
) -> Response:
    """The rows of a job as they were read, with `row` and, for a file, the reason why a row is invalid."""
    kind = negotiated(name, accept)
    record = await own_job(gateway.jobs, caller, job_id)
    chunks = readable(record, await gateway.jobs.ledger.chunks(job_id))
    if not chunks:
        raise InvalidStateError("No rows of this job are stored.")
    objects = JobObjects(gateway.jobs.payloads, job_id, await gateway.jobs.ledger.inline(job_id))
    tables = InputTables(objects, stored_pieces_of(chunks, offset, limit))

    def parts() -> Iterator[bytes]:
        if kind is not FileFormat.JSON:
            return written(tables, tabular(kind, tables.schema))
        return written(tables, JsonWriter("rows", job_id, record.rows_accepted, row_objects))

    return await answered(gateway, parts, kind, f"{record.model}-{job_id[:8]}-input", whole=False)


@router.get("/jobs/{job_id}/chunks", responses=of_errors(404, 410, 422, 503))
async def chunks_of(
    job_id: str,
    gateway: GatewayState,
    caller: Caller,
    *,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_CHUNKS)] = MOST_CHUNKS,
) -> ChunkPage:
    """The chunks of a job with their attempts and workers."""
    await own_job(gateway.jobs, caller, job_id)
    chunks = await gateway.jobs.ledger.chunks(job_id)
    workers: dict[str, int] = {}
    views, first_row = [], 0
    for chunk in chunks:
        views.append(_view(chunk, first_row))
        first_row += chunk.rows
        if chunk.worker:
            workers[chunk.worker] = workers.get(chunk.worker, 0) + 1
    return ChunkPage(
        chunks=views[offset : offset + limit],
        total_count=len(chunks),
        workers=workers,
        retried=sum(chunk.attempts > 1 for chunk in chunks),
    )


def _view(chunk: ChunkRecord, first_row: int) -> ChunkView:
    return ChunkView(
        index=chunk.index,
        first_row=first_row,
        rows=chunk.rows,
        state=chunk.state,
        attempts=chunk.attempts,
        worker=chunk.worker or None,
        rows_failed=chunk.failed if chunk.state is ChunkState.DONE else 0,
        error=chunk.error or None,
    )
