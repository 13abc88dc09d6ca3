"""Headers of signed webhooks.

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
from datetime import datetime

import msgspec


def cloud_event(message: str, kind: str, *, source: str, subject: str, at: datetime) -> dict[str, str]:
    """The attributes of the CloudEvent whose data is the body; the same for every attempt."""
    return {
        "ce-specversion": "1.0",
        "ce-id": message,
        "ce-type": f"takt.{kind}",
        "ce-source": source,
        "ce-subject": subject,
        "ce-time": msgspec.to_builtins(at),
    }


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


def is_signature(given: bytes, key: bytes, message: str, at_s: int, body: bytes) -> bool:
    """Whether a received header has the signature of version 1, in a time that does not depend on it."""
    return hmac.compare_digest(given, signature(key, message, at_s, body).encode())
