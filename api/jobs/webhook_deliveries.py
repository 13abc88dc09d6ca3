"""Webhook deliveries of a job, as its owner sees them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from shared.ledger import JobRecord, WebhookAttempt


class DeliveryState(StrEnum):
    PENDING = "pending"  # the job has not ended, or another attempt follows
    DELIVERED = "delivered"  # the receiver answered with 2xx
    GIVEN_UP = "given_up"  # the receiver is gone, or the delivery period is over


class AttemptView(BaseModel):
    """An attempt to deliver a webhook; times are UTC."""

    at: datetime
    status: int | None = Field(description="HTTP status of the receiver's response; null if none came")
    error: str | None = Field(description="Why no response came")
    next_at: datetime | None = Field(description="Time of the next attempt; null: none")


class WebhookView(BaseModel):
    """A job's webhook and its deliveries."""

    url: str
    state: DeliveryState
    attempts: list[AttemptView]


def webhook_of(record: JobRecord, attempts: Sequence[WebhookAttempt]) -> WebhookView | None:
    """The webhook of a job; None if it has none."""
    if not record.webhook_url:
        return None
    views = [_view(attempt) for attempt in attempts]
    return WebhookView(url=record.webhook_url, state=delivery_state(attempts), attempts=views)


def delivery_state(attempts: Sequence[WebhookAttempt]) -> DeliveryState:
    """The state by all attempts: any of them may have succeeded, also that of a worker presumed dead."""
    if any(attempt.delivered for attempt in attempts):
        return DeliveryState.DELIVERED
    if attempts and attempts[-1].next_at_ms is None:
        return DeliveryState.GIVEN_UP
    return DeliveryState.PENDING


def _view(attempt: WebhookAttempt) -> AttemptView:
    next_at = None if attempt.next_at_ms is None else _moment(attempt.next_at_ms)
    return AttemptView(
        at=_moment(attempt.at_ms), status=attempt.status, error=attempt.error or None, next_at=next_at
    )


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
