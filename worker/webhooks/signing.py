"""Body and headers of a job's webhook: a CloudEvent 1.0 in binary mode, https://github.com/cloudevents/spec.

`shared/webhook_signatures.py` signs it.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from shared.ledger import JobRecord
from shared.webhook_signatures import cloud_event

EVENT_SOURCE = "urn:takt:jobs"
"""`ce-source`: with `ce-id` it identifies an event."""


def message_id(record: JobRecord) -> str:
    """The same id for every attempt, since a job ends once. Receivers detect repeated messages by it."""
    return f"msg_{record.id}"


def body_of(record: JobRecord) -> bytes:
    """`type`, `timestamp` and `data` of an ended job; the same bytes for every attempt."""
    path = f"/jobs/{record.id}"
    data = {
        "id": record.id,
        "state": record.state,
        "model": record.model,
        "version": record.version,
        "reference": record.reference,
        "tags": record.tags,
        "rows_total": record.rows_total,
        "rows_succeeded": record.rows_succeeded,
        "rows_failed": record.rows_failed,
        "error": record.error,
        "links": {"self": path, "results": f"{path}/results"},
    }
    return msgspec.json.encode({"type": _type_of(record), "timestamp": _ended_at(record), "data": data})


def event_headers(record: JobRecord) -> dict[str, str]:
    """The attributes of the CloudEvent whose data is the body; the same for every attempt."""
    return cloud_event(
        message_id(record), _type_of(record), source=EVENT_SOURCE, subject=record.id, at=_ended_at(record)
    )


def _type_of(record: JobRecord) -> str:
    return f"job.{record.state}"


def _ended_at(record: JobRecord) -> datetime:
    return datetime.fromtimestamp((record.finished_at_ms or 0) / 1000, UTC)
