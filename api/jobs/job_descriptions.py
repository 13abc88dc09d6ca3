"""Job descriptions: the record, combined with the fleet's snapshot and the job's queue position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from api.fleet.snapshot import Fleet
from api.jobs.job_service import JobService
from api.jobs.job_views import JobStatus, JobView, headers_of, view_of
from api.jobs.progress import progress_of
from api.jobs.wait_reasons import is_at_limit, position, rows_ahead, wait_of
from shared.keys import ModelKey
from shared.ledger import JobRecord, QueueOrder, WebhookAttempt


async def described(jobs: JobService, record: JobRecord) -> tuple[JobView, dict[str, str]]:
    """Return the job's current view, and response headers with the time of the next poll."""
    order = await jobs.queue_orders.of(record.key)
    tried = await _attempts(jobs, [record])
    status = status_of(record, order, jobs.fleet.now, tried.get(record.id, ()))
    return view_of(record, status), headers_of(record, status)


async def described_all(jobs: JobService, records: Sequence[JobRecord]) -> list[JobView]:
    """Return the views of several jobs; the queue of each model version is read once."""
    orders: dict[ModelKey, QueueOrder] = {}
    for key in dict.fromkeys(record.key for record in records):
        orders[key] = await jobs.queue_orders.of(key)
    fleet, tried = jobs.fleet.now, await _attempts(jobs, records)
    return [
        view_of(record, status_of(record, orders[record.key], fleet, tried.get(record.id, ())))
        for record in records
    ]


async def _attempts(jobs: JobService, records: Sequence[JobRecord]) -> Mapping[str, Sequence[WebhookAttempt]]:
    """Webhook attempts of the ended jobs that have a webhook, by job id."""
    telling = [record.id for record in records if record.webhook_url and record.state.ended]
    return await jobs.ledger.webhook_attempts(*telling) if telling else {}


def status_of(
    record: JobRecord, order: QueueOrder, fleet: Fleet, attempts: Sequence[WebhookAttempt] = ()
) -> JobStatus:
    ahead = rows_ahead(order, record.id)
    rate = fleet.slice_rates.get(record.key, 0.0)
    return JobStatus(
        now_ms=order.now_ms,
        progress=progress_of(record, order.now_ms, model_rows_per_s=rate, rows_ahead=ahead or 0),
        wait=wait_of(
            record, fleet.availability(record.key), ahead, at_limit=is_at_limit(order, record.owner)
        ),
        position=position(order, record.id),
        rows_ahead=ahead,
        attempts=attempts,
    )
