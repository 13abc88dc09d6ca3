"""Answers of a gateway that has no queue, or is stopping."""

from __future__ import annotations

from shared.errors import QueueUnavailable

RETRY_AFTER_S = 2.0


STOPPING_RETRY_S = 1.0


def unavailable(detail: str | None = None) -> QueueUnavailable:
    return QueueUnavailable(detail, retry_after_s=RETRY_AFTER_S)


def stopping() -> QueueUnavailable:
    """What requests are told that a gateway cannot answer before it ends."""
    return QueueUnavailable("This gateway is being stopped; ask again.", retry_after_s=STOPPING_RETRY_S)
