"""`GET /jobs/{id}`: how a job does."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from api.jobs.outlooks import described
from api.jobs.ownership import own_job
from api.jobs.views import JobView, as_json, etag_of, matches
from api.principals import Asker
from api.state import GatewayState
from api.web.errors import of_errors

router = APIRouter()
_UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "Nothing has happened to the job since the `ETag` that you know"}
}
"""As FastAPI takes it (Any: its own type)."""


@router.get("/jobs/{job_id}", response_model=JobView, responses=of_errors(404, 410, 503) | _UNCHANGED)
async def job(
    job_id: str,
    gateway: GatewayState,
    asker: Asker,
    if_none_match: Annotated[str | None, Header(description="An `ETag` of this job")] = None,
) -> Response:
    """How a job does, why it waits, and when to ask again (`Retry-After`)."""
    record = await own_job(gateway, asker, job_id)
    view, headers = await described(gateway, record)
    headers["ETag"] = etag = etag_of(view)
    if matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    return as_json(view, 200, headers)
