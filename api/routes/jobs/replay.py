"""`POST /jobs/{id}/replay` and `/retry`: run stored rows of a job again, on another version or the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.access.principal import Caller
from api.gateway import GatewayState
from api.http.error_answers import of_errors
from api.http.headers import field_of
from api.jobs.authorization import own_job
from api.jobs.job_options import JobOptions
from api.jobs.job_replay import replay, replay_options
from api.jobs.job_retry import RetriedRows, retry
from api.jobs.job_views import JobView
from api.routes.jobs.submission_responses import acceptance
from shared.ledger import JobRecord

router = APIRouter()


class _NewOptions(BaseModel):
    """The options of the new job; an option that is not given is as in the job."""

    model_config = ConfigDict(extra="forbid")

    reference: str | None = Field(None, max_length=200)
    tags: list[Annotated[str, Field(min_length=1, max_length=64)]] | None = Field(None, max_length=20)
    priority: int | None = Field(None, ge=0, le=9, strict=True)
    expires_in_s: float | None = Field(None, gt=0, le=366 * 86_400)
    webhook_url: str = Field("", max_length=2048)

    def options(self, record: JobRecord) -> JobOptions:
        own = replay_options(record)
        return replace(
            own,
            reference=own.reference if self.reference is None else self.reference,
            tags=own.tags if self.tags is None else tuple(self.tags),
            priority=own.priority if self.priority is None else self.priority,
            expires_in_s=self.expires_in_s,
            webhook_url=self.webhook_url,
        )


class ReplayRequest(_NewOptions):
    """A replay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"version": "1.1.0"}]})

    version: str = Field(max_length=128, description="The version to run, or an alias of it")


class RetryRequest(_NewOptions):
    """A retry."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"rows": "failed"}]})

    rows: RetriedRows = Field(
        RetriedRows.FAILED,
        description="`failed`: rows without a result, also those that did not run; `all`",
    )
    version: str | None = Field(
        None, max_length=128, description="The version to run, or an alias of it. Default: that of the job"
    )


IdempotencyKey: TypeAlias = Annotated[
    str | None, Header(description="Requests with the same key and body return the same job")
]
_ERRORS = of_errors(404, 409, 410, 422, 503)


@router.post(
    "/jobs/{job_id}/replay",
    status_code=202,
    response_model=JobView,
    responses=_ERRORS,
)
async def replay_job(
    job_id: str,
    asked: ReplayRequest,
    request: Request,
    gateway: GatewayState,
    caller: Caller,
    *,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Run the stored rows of a job that has succeeded on another version, as a new job.

    The rows are copied within the store. Rows that were invalid in the job are invalid in the replay.
    `GET /jobs/{id}/difference` compares the results.
    """
    record = await own_job(gateway.jobs, caller, job_id)
    servable = gateway.catalog.find(record.model, asked.version, caller)
    made, replayed = await replay(
        gateway.jobs, caller, record, servable, asked.options(record), key=idempotency_key
    )
    prefer = field_of(request.headers.raw, b"prefer")
    return await acceptance(gateway, made, prefer, replayed=replayed)


@router.post("/jobs/{job_id}/retry", status_code=202, response_model=JobView, responses=_ERRORS)
async def retry_job(
    job_id: str,
    asked: RetryRequest,
    request: Request,
    gateway: GatewayState,
    caller: Caller,
    *,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Run the failed rows of a job that has ended, or all its rows, again as a new job.

    The new job has the rows in the order of the job, and `retry_of`. An id column identifies them.
    """
    record = await own_job(gateway.jobs, caller, job_id)
    servable = gateway.catalog.find(record.model, asked.version or record.version, caller)
    made, replayed = await retry(
        gateway.jobs, caller, record, servable, asked.options(record), rows=asked.rows, key=idempotency_key
    )
    prefer = field_of(request.headers.raw, b"prefer")
    return await acceptance(gateway, made, prefer, replayed=replayed)
