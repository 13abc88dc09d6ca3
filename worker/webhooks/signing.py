"""Body and headers of webhooks.

They follow Standard Webhooks 1.0, https://www.standardwebhooks.com, and are CloudEvents 1.0 in binary mode,
https://github.com/cloudevents/spec.

Signing takes a few lines of the standard library; the tests verify it with the reference package
`standardwebhooks`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from shared.ledger import JobRecord

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
    return {
        "ce-specversion": "1.0",
        "ce-id": message_id(record),
        "ce-type": f"takt.{_type_of(record)}",
        "ce-source": EVENT_SOURCE,
        "ce-subject": record.id,
        "ce-time": msgspec.to_builtins(_ended_at(record)),
    }


def _type_of(record: JobRecord) -> str:
    return f"job.{record.state}"


def _ended_at(record: JobRecord) -> datetime:
    return datetime.fromtimestamp((record.finished_at_ms or 0) / 1000, UTC)


def headers_of(message: str, at_s: int, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """The headers of an attempt, signed with every valid key."""
    return {
        "content-type": "application/json",
        "user-agent": "Takt",
        "webhook-id": message,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(signature(key, message, at_s, body) for key in keys),
    }


def signature(key: bytes, message: str, at_s: int, body: bytes) -> str:
    """Version 1: HMAC-SHA256 over `id.timestamp.body`, in base64."""
    signed = hmac.new(key, b"%s.%d.%s" % (message.encode(), at_s, body), hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"
