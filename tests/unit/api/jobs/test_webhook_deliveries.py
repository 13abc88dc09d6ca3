"""The view of a job's webhook."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from api.jobs.webhook_deliveries import DeliveryState, delivery_state, webhook_of
from shared.ledger import JobRecord, JobState, WebhookAttempt


def attempt(status: int | None, *, next_at_ms: int | None = None, error: str = "") -> WebhookAttempt:
    return WebhookAttempt(at_ms=1_000, status=status, error=error, next_at_ms=next_at_ms)


def job(url: str) -> JobRecord:
    return JobRecord(
        id="j1",
        model="iris",
        version="1.0.0",
        digest="d",
        owner="anonymous",
        reference="",
        tags=(),
        priority=5,
        state=JobState.SUCCEEDED,
        created_at_ms=0,
        started_at_ms=0,
        finished_at_ms=0,
        rows_total=1,
        rows_accepted=1,
        rows_succeeded=1,
        rows_failed=0,
        chunks_total=1,
        chunks_ended=1,
        chunks_leased=0,
        error=None,
        expires_at_ms=None,
        id_column="",
        keep_columns=(),
        webhook_url=url,
    )


@pytest.mark.parametrize(
    ("attempts", "state"),
    [
        ([], DeliveryState.PENDING),
        ([attempt(500, next_at_ms=2_000)], DeliveryState.PENDING),
        ([attempt(500, next_at_ms=2_000), attempt(204)], DeliveryState.DELIVERED),
        ([attempt(204), attempt(500, next_at_ms=2_000)], DeliveryState.DELIVERED),
        ([attempt(500, next_at_ms=2_000), attempt(410)], DeliveryState.GIVEN_UP),
        ([attempt(None, error="refused")], DeliveryState.GIVEN_UP),
    ],
)
def test_a_webhook_is_pending_until_it_arrived_or_is_given_up(
    attempts: list[WebhookAttempt], state: DeliveryState
) -> None:
    assert delivery_state(attempts) is state


def test_a_job_without_a_webhook_shows_none() -> None:
    assert webhook_of(job(""), []) is None


def test_each_attempt_has_its_time_outcome_and_next_time() -> None:
    view = webhook_of(job("https://mes.example/"), [attempt(None, error="refused", next_at_ms=6_000)])
    assert view is not None
    assert view.url == "https://mes.example/"
    (shown,) = view.attempts
    assert (shown.status, shown.error) == (None, "refused")
    assert shown.at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert shown.next_at == datetime(1970, 1, 1, 0, 0, 6, tzinfo=UTC)
