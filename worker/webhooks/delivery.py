"""POSTs to a job's `webhook_url` when the job ends: outside the engine, at least once, with retries.

Every worker runs these threads. The ledger's due set selects the next delivery, under a lease. If a worker
dies during a delivery, another worker repeats it, so a receiver may get the message twice, with the same id.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

import structlog
from redis.exceptions import RedisError

from shared.backoff import Backoff
from shared.errors import InvalidInputError, JobExpiredError, JobNotFoundError, RecordUnreadableError
from shared.ledger import JobRecord, WebhookClaim
from shared.settings import Settings
from shared.webhook_posts import NotPostedError, Poster, Response
from shared.webhook_signatures import headers_of
from shared.webhooks import WebhookTarget, target_of
from worker.webhooks.signing import body_of, event_headers, message_id

log = structlog.get_logger(__name__)

EVERY_S = 1.0
"""How often due webhooks are looked up."""
AT_ONCE = 4
"""Simultaneous deliveries of a worker, so that a receiver that hangs does not delay the others."""
RETRY = Backoff(first_s=5.0, longest_s=3600.0, factor=4.0)
"""Delays: 5 s, 20 s, 80 s, 5 min, 21 min, then every hour."""
SPREAD = 0.2
"""Random share of a delay, so that the webhooks of an outage do not all return at once."""
LEASE_SLACK_S = 30.0
"""Time for DNS and the ledger in addition to the POST."""
GONE = 410

Post = Callable[[WebhookTarget, Mapping[str, str], bytes], Response]

LAST_S = 2.0
"""How long a stopping worker waits for receivers; other workers repeat interrupted deliveries."""


class WebhookLedger(Protocol):
    """The part of the ledger that delivery uses."""

    def claim_webhook(self, *, lease_s: float) -> WebhookClaim | None: ...
    def record_webhook(
        self, held: WebhookClaim, *, status: int | None, error: str, delay_s: float | None
    ) -> bool: ...
    def read(self, job_id: str) -> JobRecord: ...


class Webhooks:
    """Delivers due webhooks. Runs only if a webhook secret is configured."""

    def __init__(
        self,
        ledger: WebhookLedger,
        settings: Settings,
        *,
        post: Post | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._ledger = ledger
        self._keys = settings.webhook_keys()
        self._lease_s = settings.webhook_timeout_s + LEASE_SLACK_S
        self._retry_for_s = settings.webhook_retry_s
        self._post: Post = post or Poster(settings.webhook_networks(), settings.webhook_timeout_s)
        self._chance = chance
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=f"webhooks-{n}", daemon=True) for n in range(AT_ONCE)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin no further delivery."""
        self._stopping.set()

    def join(self, timeout_s: float = LAST_S) -> None:
        """Wait for deliveries in progress. The end of the process interrupts the rest, and they are
        repeated."""
        end_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end_s - time.monotonic()))

    def deliver_next(self) -> bool:
        """Attempt the webhook that has been due longest. → whether a webhook was due."""
        held = self._ledger.claim_webhook(lease_s=self._lease_s)
        if held is None:
            return False
        try:
            record = self._ledger.read(held.job_id)
        except (JobNotFoundError, JobExpiredError) as gone:
            self._ledger.record_webhook(held, status=None, error=gone.detail, delay_s=None)
        except (
            RecordUnreadableError
        ) as error:  # a newer worker may be able to read it: it is due again when its lease ends
            log.warning("webhook_unreadable", job_id=held.job_id, reason=error.detail)
        else:
            self._attempt(held, record)
        return True

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            try:
                while not self._stopping.is_set() and self.deliver_next():
                    pass
            except RedisError as error:
                log.warning("webhooks_delayed", reason=str(error))
            except Exception:  # it is due again when its lease ends, and must not stop the others
                log.exception("webhook_broke")

    def _attempt(self, held: WebhookClaim, record: JobRecord) -> None:
        status, error, retry_after = None, "", ""
        try:
            reply = self._send(held, record)
            status, retry_after = reply.status, reply.retry_after
        except (NotPostedError, InvalidInputError) as failure:
            error = str(failure)
        delay_s = next_delay_s(
            held.attempts + 1,
            status,
            asked_s=retry_after_s(retry_after, held.now_ms / 1000),
            left_s=self._retry_for_s - (held.now_ms - (record.finished_at_ms or 0)) / 1000,
            chance=self._chance(),
        )
        self._ledger.record_webhook(held, status=status, error=error, delay_s=delay_s)
        log.info(
            "webhook_attempted",
            job_id=record.id,
            attempt=held.attempts + 1,
            status=status,
            error=error,
            next_in_s=delay_s,
        )

    def _send(self, held: WebhookClaim, record: JobRecord) -> Response:
        body = body_of(record)
        # Redis' clock: receivers reject timestamps that are minutes off, and a host's clock may be
        signed = headers_of(message_id(record), held.now_ms // 1000, body, self._keys)
        return self._post(target_of(record.webhook_url), signed | event_headers(record), body)


def next_delay_s(
    attempts: int, status: int | None, *, asked_s: float, left_s: float, chance: float
) -> float | None:
    """Seconds until the next attempt; `status` is the last response, None if there was none.

    None: no further attempt, because it was delivered, the receiver is gone for good, or no time is left.
    `asked_s` is the receiver's Retry-After, used if it is longer. `chance` is in 0 … 1.
    """
    if status is not None and (200 <= status < 300 or status == GONE):
        return None
    delay_s = max(asked_s, RETRY.pause_s(attempts) * (1 + SPREAD * (2 * chance - 1)))
    return delay_s if delay_s <= left_s else None


def retry_after_s(header: str, now_s: float) -> float:
    """The delay of a Retry-After header, given in seconds or as a date; 0 if it cannot be parsed."""
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now_s, UTC)).total_seconds())
