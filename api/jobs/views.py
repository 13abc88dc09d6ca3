"""A job as its owner sees it."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import Response
from pydantic import BaseModel

from shared.ledger import JobRecord, JobState

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


def view_of(record: JobRecord) -> JobView:
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
        created_at=moment(record.created_at_ms),
        started_at=moment(record.started_at_ms) if record.started_at_ms is not None else None,
        finished_at=moment(record.finished_at_ms) if record.finished_at_ms is not None else None,
        error=JobError(code=record.error.code, detail=record.error.detail) if record.error else None,
        links={"self": path, "results": f"{path}/results"},
    )


def moment(ms: int) -> datetime:
    """The UTC time of the ledger's milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def as_json(view: JobView, status: int, headers: dict[str, str]) -> Response:
    return Response(view.model_dump_json(), status, headers, media_type="application/json")
