"""`GET /jobs/{id}`: how a job does."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.errors import of_errors
from api.jobs.ownership import own_job
from api.jobs.views import POLL_AFTER_S, JobView, as_json, view_of
from api.principals import Asker
from api.state import GatewayState

router = APIRouter()


@router.get("/jobs/{job_id}", response_model=JobView, responses=of_errors(404, 503))
async def job(job_id: str, gateway: GatewayState, asker: Asker) -> Response:
    """How a job does."""
    record = await own_job(gateway, asker, job_id)
    return as_json(view_of(record), 200, {} if record.state.ended else {"Retry-After": str(POLL_AFTER_S)})
