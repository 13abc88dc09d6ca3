"""The timeline of a job: from its submission to the deliveries of its webhook, in order of time.

The ledger records the events that a job's record does not contain: the end of the upload, orders with the
caller's name, failed attempts. The rest is read from the record and from the attempts of the webhook.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain

import msgspec
from pydantic import BaseModel, Field

from api.jobs.job_views import moment
from shared.ledger import JobRecord, TimelineEvent, WebhookAttempt


class TimelineEntry(BaseModel):
    """An event of a job. Fields that do not apply to the event are left out."""

    at: datetime
    event: str = Field(
        description="`submitted`, `uploaded`, `started`, `paused`, `resumed`, `cancel_requested`, "
        "`priority_changed`, `chunks_ended`, `attempt_failed`, `chunk_failed`, `chunk_requeued`, "
        "`result_lost`, `succeeded`, `failed`, `canceled` or `webhook_attempt`; a newer version may have more"
    )
    by: str | None = Field(None, description="The name of the key, or of the person, that gave the order")
    rows: int | None = Field(None, description="Rows of the job")
    waited_s: float | None = Field(None, description="`started`: seconds since the submission")
    priority: int | None = Field(None, description="`priority_changed`: the new priority")
    chunk: int | None = Field(None, description="Index of the chunk")
    attempt: int | None = Field(None, description="Number of the chunk's attempt, from 1")
    worker: str | None = None
    reason: str | None = Field(None, description="Why an attempt, a chunk, the job or a delivery failed")
    chunks_ended: int | None = Field(None, description="`chunks_ended`: each tenth of the chunks is an event")
    chunks_total: int | None = None
    status: int | None = Field(None, description="`webhook_attempt`: HTTP status of the receiver")
    next_at: datetime | None = Field(None, description="`webhook_attempt`: time of the next attempt")


class Timeline(BaseModel):
    """The events of a job, the oldest first."""

    events: list[TimelineEntry]
    omitted: int = Field(description="Events that are not kept: a job keeps the first 50 and the newest 50")


def timeline_of(record: JobRecord, attempts: Sequence[WebhookAttempt]) -> Timeline:
    """`attempts`: to deliver its webhook."""
    found = chain(_beginning(record), map(_recorded, record.timeline), _end(record), map(_delivery, attempts))
    events = sorted(found, key=lambda entry: entry.at)  # stable: events of one millisecond keep this order
    return Timeline(events=events, omitted=record.timeline_omitted)


def _beginning(record: JobRecord) -> Iterator[TimelineEntry]:
    yield TimelineEntry(at=moment(record.created_at_ms), event="submitted", by=record.owner)
    if record.started_at_ms is not None:
        waited_s = (record.started_at_ms - record.created_at_ms) / 1000
        yield TimelineEntry(at=moment(record.started_at_ms), event="started", waited_s=waited_s)


def _recorded(event: TimelineEvent) -> TimelineEntry:
    fields = msgspec.structs.asdict(event)
    return TimelineEntry(at=moment(fields.pop("at_ms")), **fields)


def _end(record: JobRecord) -> Iterator[TimelineEntry]:
    if record.finished_at_ms is not None:
        reason = f"{record.error.code}: {record.error.detail}" if record.error else None
        yield TimelineEntry(
            at=moment(record.finished_at_ms),
            event=record.state.value,
            rows=record.rows_done,
            reason=reason,
        )


def _delivery(attempt: WebhookAttempt) -> TimelineEntry:
    return TimelineEntry(
        at=moment(attempt.at_ms),
        event="webhook_attempt",
        status=attempt.status,
        reason=attempt.error or None,
        next_at=None if attempt.next_at_ms is None else moment(attempt.next_at_ms),
    )
