"""`GET /jobs/{id}/results`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from api.errors import of_errors
from api.jobs.ownership import own_job
from api.jobs.views import POLL_AFTER_S
from api.principals import Asker
from api.results import pieces_of, results_json
from api.state import GatewayState
from shared.errors import ResultsNotReady
from shared.ledger import JobRecord, JobState

router = APIRouter()


class JobResults(BaseModel):
    """Results in the order of the inputs: each the model's outputs, or only `error`."""

    job_id: str
    results: list[dict[str, Any]]
    total_count: int


@router.get("/jobs/{job_id}/results", response_model=JobResults, responses=of_errors(404, 409, 422, 503))
async def results(
    job_id: str,
    gateway: GatewayState,
    asker: Asker,
    offset: Annotated[int, Query(ge=0, description="The first row")] = 0,
    limit: Annotated[int | None, Query(ge=0, description="At most so many rows")] = None,
) -> Response:
    """The results of a job that has succeeded, in the order of its inputs."""
    record = await own_job(gateway, asker, job_id)
    if record.state is not JobState.SUCCEEDED:
        raise _not_ready(record)
    pieces = pieces_of(await gateway.ledger.chunks(job_id), offset, limit)
    parts = results_json(gateway.payloads, job_id, pieces, record.rows_total or 0)
    head = await anext(parts) + await anext(parts)  # a result that is gone is still an honest error here
    return StreamingResponse(_chain(head, parts), media_type="application/json")


def _not_ready(record: JobRecord) -> ResultsNotReady:
    if record.state.ended:
        return ResultsNotReady(f"The job has ended as {record.state}; it has no complete results.")
    return ResultsNotReady(f"The job is {record.state}.", retry_after_s=POLL_AFTER_S)


async def _chain(head: bytes, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for part in parts:
        yield part
