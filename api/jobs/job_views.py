"""The JSON view of a job, with its ETag and headers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.main import IncEx

from api.jobs.progress import JobProgress, poll_after_s
from api.jobs.wait_reasons import Reason, Wait
from api.jobs.webhook_deliveries import WebhookView, webhook_of
from shared.ledger import JobRecord, JobState, WebhookAttempt

POLL_AFTER_S = 1
"""Poll interval if nothing is known about the job's end."""
_PASSING: Mapping[str, IncEx | bool] = {
    "rows_per_s": True,
    "eta_s": True,
    "eta_low_s": True,
    "eta_high_s": True,
    "position": True,
    "waiting": {"detail", "rows_ahead"},
}
"""Fields that change over time without an event of the job; they are not part of its ETag."""

EXAMPLE: dict[str, JsonValue] = {
    "id": "0e6f3b0c6c5b4c64a8f64b0f6d3c9c11",
    "state": "running",
    "model": "iris",
    "version": "1.0.0",
    "digest": "9b1f…",
    "reference": "lot 4711",
    "tags": ["line-2"],
    "priority": 5,
    "owner": "mes",
    "replay_of": None,
    "retry_of": None,
    "rows_total": 20000,
    "rows_succeeded": 9998,
    "rows_failed": 2,
    "percent": 50.0,
    "rows_per_s": 8000.0,
    "eta_s": 1.3,
    "eta_low_s": 0.9,
    "eta_high_s": 1.7,
    "position": 1,
    "waiting": None,
    "created_at": "2026-03-01T08:00:00Z",
    "started_at": "2026-03-01T08:00:00.100Z",
    "finished_at": None,
    "expires_at": None,
    "error": None,
    "webhook": None,
    "links": {"self": "/jobs/0e6f3b0c6c5b4c64a8f64b0f6d3c9c11"},
}


class JobError(BaseModel):
    code: str
    detail: str


class Waiting(BaseModel):
    """The reason why none of a job's rows run now."""

    reason: Reason
    detail: str
    rows_ahead: int | None = Field(
        description="Rows of other jobs of the model version that run before this job ends, by the fair "
        "order; null if the job is not queued"
    )


class JobView(BaseModel):
    """A job as its owner sees it; times are UTC."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    id: str
    state: JobState
    model: str
    version: str
    digest: str = Field(description="SHA-256 of the model's artifact, pinned when the job was submitted")
    reference: str
    tags: list[str]
    priority: int = Field(ge=0, le=9)
    owner: str = Field(description="The name of the key that submitted it")
    replay_of: str | None = Field(None, description="The job that has the same rows; null: no replay")
    retry_of: str | None = Field(None, description="The job of which it has rows; null: no retry")
    rows_total: int | None = Field(description="Number of rows; null during the upload")
    rows_succeeded: int
    rows_failed: int
    percent: float | None = Field(description="Percentage of rows that have run; null during the upload")
    rows_per_s: float | None = Field(description="Rate since the first chunk started; null before")
    eta_s: float | None = Field(description="Seconds until the last row has run; null if unknown")
    eta_low_s: float | None = Field(
        None, description="Lower end of the likely range of eta_s; null if too little is known"
    )
    eta_high_s: float | None = Field(
        None, description="Upper end of the range, which is wide if rows differ in cost or few have run"
    )
    position: int | None = Field(description="Position in the fair order, from 1; null if not queued")
    waiting: Waiting | None = Field(description="Why none of its rows run now; null if some run")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="When the ended job and its results are removed")
    error: JobError | None
    webhook: WebhookView | None = Field(description="The job's webhook and its deliveries")
    links: dict[str, str]


@dataclass(frozen=True)
class JobStatus:
    """Facts about a job that are not part of its record, at a moment."""

    now_ms: int
    progress: JobProgress
    wait: Wait | None
    position: int | None
    rows_ahead: int | None
    attempts: Sequence[WebhookAttempt] = ()  # to deliver its webhook


def view_of(record: JobRecord, status: JobStatus) -> JobView:
    progress = status.progress
    return JobView(
        id=record.id,
        state=record.state,
        model=record.model,
        version=record.version,
        digest=record.digest,
        reference=record.reference,
        tags=list(record.tags),
        priority=record.priority,
        owner=record.owner,
        replay_of=record.replay_of or None,
        retry_of=record.retry_of or None,
        rows_total=record.rows_total,
        rows_succeeded=record.rows_succeeded,
        rows_failed=record.rows_failed,
        percent=progress.percent,
        rows_per_s=progress.rows_per_s,
        eta_s=progress.eta_s,
        eta_low_s=progress.eta_low_s,
        eta_high_s=progress.eta_high_s,
        position=status.position,
        waiting=_waiting(status),
        created_at=moment(record.created_at_ms),
        started_at=_moment(record.started_at_ms),
        finished_at=_moment(record.finished_at_ms),
        expires_at=_moment(record.expires_at_ms),
        error=JobError(code=record.error.code, detail=record.error.detail) if record.error else None,
        webhook=webhook_of(record, status.attempts),
        links=_links(record),
    )


def _waiting(status: JobStatus) -> Waiting | None:
    wait = status.wait
    if wait is None:
        return None
    return Waiting(reason=wait.reason, detail=wait.detail, rows_ahead=status.rows_ahead)


def _links(record: JobRecord) -> dict[str, str]:
    path = f"/jobs/{record.id}"
    parts = ["results", "errors", "events", "timeline", "manifest"]
    if not record.state.ended:
        parts.append("cancel")
    return {"self": path} | {part: f"{path}/{part}" for part in parts}


def headers_of(record: JobRecord, status: JobStatus) -> dict[str, str]:
    """`Retry-After` for clients that poll; empty after the job's end."""
    after_s = poll_after_s(record, status.progress, status.now_ms)
    return {} if after_s is None else {"Retry-After": str(after_s)}


def etag_of(view: JobView) -> str:
    """A weak ETag that changes with events of the job, but not with time alone."""
    lasting = view.model_dump_json(exclude=_PASSING)
    return f'W/"{hashlib.blake2b(lasting.encode(), digest_size=12).hexdigest()}"'


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has the current version (RFC 9110, 13.1.2: weak comparison)."""
    known = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return "*" in known or etag.removeprefix("W/") in known


def moment(ms: int) -> datetime:
    """Convert the ledger's milliseconds to UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else moment(ms)


def as_json(view: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(view.model_dump_json(), status, headers, media_type="application/json")
