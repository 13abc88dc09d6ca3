"""`POST /jobs/actions`: an action on all jobs of a filter."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from enum import StrEnum

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.access.principal import Caller, Principal
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from api.jobs.job_replay import replay_options
from api.jobs.job_retry import RetriedRows, retry
from api.routes.jobs.control import cancel_job, delete_job, pause_job, prioritize_job, resume_job
from api.routes.jobs.listing import Filter, Span, moment_ms, scan
from shared.errors import ServiceError
from shared.ledger import JobRecord, JobState

router = APIRouter()

MOST_CHANGED = 1000


class JobAction(StrEnum):
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    DELETE = "delete"
    PRIORITIZE = "prioritize"


class JobFilterBody(BaseModel):
    """The conditions of `GET /jobs`. One is required, so that no call changes all jobs by mistake."""

    model_config = ConfigDict(extra="forbid")

    state: list[JobState] = []
    model: str | None = None
    reference: str | None = None
    tag: str | None = None
    search: str | None = Field(None, max_length=200)
    created_after: datetime | None = None
    created_before: datetime | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> JobFilterBody:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("a filter needs at least one condition")
        return self

    @property
    def wanted(self) -> Filter:
        return Filter(frozenset(self.state), self.model, self.reference, self.tag, self.search or None)


class ManyRequest(BaseModel):
    """An action on many jobs."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"action": "cancel", "filter": {"state": ["queued"], "tag": "line-2"}}]
        },
    )

    action: JobAction
    filter: JobFilterBody
    priority: int | None = Field(None, ge=0, le=9, strict=True, description="Required for `prioritize`")
    rows: RetriedRows = Field(RetriedRows.FAILED, description="The rows of a `retry`")
    limit: int = Field(MOST_CHANGED, ge=1, le=MOST_CHANGED)
    dry_run: bool = Field(False, description="Only list the jobs")

    @model_validator(mode="after")
    def _priority_is_given(self) -> ManyRequest:
        if self.action is JobAction.PRIORITIZE and self.priority is None:
            raise ValueError("prioritize needs a priority")
        return self


class OneOutcome(BaseModel):
    """The outcome for a job."""

    id: str
    state: JobState
    retried_as: str | None = Field(None, description="The new job of a retry")
    error: str | None = Field(None, description="The code, if the action was refused")
    detail: str | None = None


class ManyOutcome(BaseModel):
    """The outcome of an action on many jobs."""

    changed: int
    refused: int
    more: bool = Field(description="Whether the filter may match further jobs")
    jobs: list[OneOutcome]


@router.post("/jobs/actions", response_model=ManyOutcome, responses=of_errors(422, 503))
async def act_on_many(asked: ManyRequest, gateway: GatewayState, caller: Caller) -> ManyOutcome:
    """Act on the jobs of a filter, newest first. A job that refuses the action does not stop the others."""
    gateway.queue.require_open()
    owner = None if caller.changes_all_jobs else caller.name
    chosen = asked.filter
    span = Span(owner, moment_ms(chosen.created_after), moment_ms(chosen.created_before), caller.models)
    ids, last = await scan(gateway, span, chosen.wanted, asked.limit, None)
    outcomes = [
        await _outcome(gateway, caller, asked, record) for record in await gateway.jobs.ledger.read_all(ids)
    ]
    refused = sum(outcome.error is not None for outcome in outcomes)
    return ManyOutcome(
        changed=0 if asked.dry_run else len(outcomes) - refused,
        refused=refused,
        more=last is not None,
        jobs=outcomes,
    )


async def _outcome(gateway: Gateway, caller: Principal, asked: ManyRequest, record: JobRecord) -> OneOutcome:
    if asked.dry_run:
        return OneOutcome(id=record.id, state=record.state)
    try:
        if asked.action is JobAction.RETRY:
            made = await _retried(gateway, caller, asked, record)
            return OneOutcome(id=record.id, state=record.state, retried_as=made)
        if asked.action is JobAction.PRIORITIZE:
            assert asked.priority is not None
            state = await prioritize_job(gateway.jobs, record, asked.priority, by=caller.name)
            return OneOutcome(id=record.id, state=state)
        return OneOutcome(id=record.id, state=await _ACTIONS[asked.action](gateway, record, caller.name))
    except ServiceError as error:
        return OneOutcome(id=record.id, state=record.state, error=error.code, detail=str(error.detail))


async def _retried(gateway: Gateway, caller: Principal, asked: ManyRequest, record: JobRecord) -> str:
    servable = gateway.catalog.find(record.model, record.version, caller)
    options = replay_options(record)
    return (await retry(gateway.jobs, caller, record, servable, options, rows=asked.rows))[0].id


async def _deleted(gateway: Gateway, record: JobRecord, _by: str) -> JobState:
    await delete_job(gateway.jobs, record)
    return record.state


_ACTIONS: Mapping[JobAction, Callable[[Gateway, JobRecord, str], Awaitable[JobState]]] = {
    JobAction.CANCEL: lambda gateway, record, by: cancel_job(gateway.jobs, record, by=by),
    JobAction.PAUSE: lambda gateway, record, by: pause_job(gateway.jobs, record, by=by),
    JobAction.RESUME: lambda gateway, record, by: resume_job(gateway.jobs, record, by=by),
    JobAction.DELETE: _deleted,
}
