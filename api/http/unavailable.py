"""Errors of a gateway that cannot reach Redis or is shutting down."""

from __future__ import annotations

from shared.errors import QueueUnavailable

RETRY_AFTER_S = 2.0
STOPPING_RETRY_S = 1.0


def unavailable(detail: str | None = None) -> QueueUnavailable:
    return QueueUnavailable(detail, retry_after_s=RETRY_AFTER_S)


def stopping() -> QueueUnavailable:
    """The error of requests that the gateway cannot answer before it exits."""
    return QueueUnavailable(
        "This gateway is shutting down; retry the request.", retry_after_s=STOPPING_RETRY_S
    )
