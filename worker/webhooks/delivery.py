"""Tells a job's end to the URL that its submission gave: off the engine, at least once, again and again.

Every worker runs these threads. The ledger's due set says whose turn it is, under a lease, so that a delivery
that dies with its worker is taken up by another; the receiver may then see the message twice, under one id.
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

from shared.errors import InvalidInput, JobExpired, JobNotFound, RecordUnreadable
from shared.ledger import JobRecord, WebhookClaim
from shared.settings import Settings
from shared.webhooks import WebhookTarget, target_of
from worker.webhooks.post import NotPosted, Poster, Response
from worker.webhooks.signing import body_of, headers_of, message_id

log = structlog.get_logger(__name__)

EVERY_S = 1.0
"""How soon a job's end is told."""
AT_ONCE = 4
"""How many receivers one worker waits for: one that hangs does not hold up the others."""
FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 3600.0
GROWTH = 4.0
"""5 s, 20 s, 80 s, 5 min, 21 min, then every hour."""
SPREAD = 0.2
"""How far a delay strays, so that the webhooks of an outage do not all come back at once."""
LEASE_SLACK_S = 30.0
"""What DNS and the ledger may take beside the post itself."""
GONE = 410

Post = Callable[[WebhookTarget, Mapping[str, str], bytes], Response]


class WebhookLedger(Protocol):
    """What the delivery asks of the ledger."""

    def claim_webhook(self, *, lease_s: float) -> WebhookClaim | None: ...
    def record_webhook(
        self, held: WebhookClaim, *, status: int | None, error: str, delay_s: float | None
    ) -> bool: ...
    def read(self, job_id: str) -> JobRecord: ...


class Webhooks:
    """Delivers what is due. Only for a deployment that has a webhook secret."""

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
        """Take up nothing more."""
        self._stopping.set()

    def join(self, timeout_s: float) -> None:
        """Wait for what is under way; what takes longer is cut short by the process's end, and comes back."""
        end_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end_s - time.monotonic()))

    def deliver_next(self) -> bool:
        """Attempt the webhook that is due longest. → whether one was due."""
        held = self._ledger.claim_webhook(lease_s=self._lease_s)
        if held is None:
            return False
        try:
            record = self._ledger.read(held.job_id)
        except (JobNotFound, JobExpired) as gone:
            self._ledger.record_webhook(held, status=None, error=gone.detail, delay_s=None)
        except (
            RecordUnreadable
        ) as error:  # a newer worker may read it: it is due again when the lease is over
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
            except Exception:  # one that cannot be delivered comes back by its lease, and silences no other
                log.exception("webhook_broke")

    def _attempt(self, held: WebhookClaim, record: JobRecord) -> None:
        status, error, retry_after = None, "", ""
        try:
            reply = self._send(held, record)
            status, retry_after = reply.status, reply.retry_after
        except (NotPosted, InvalidInput) as failure:
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
        # Redis' clock: receivers refuse what is minutes off, and a host's clock may be
        headers = headers_of(message_id(record), held.now_ms // 1000, body, self._keys)
        return self._post(target_of(record.webhook_url), headers, body)


def next_delay_s(
    attempts: int, status: int | None, *, asked_s: float, left_s: float, chance: float
) -> float | None:
    """When to try again after so many attempts, the last answered with `status` (None: not at all).

    None: never; it was delivered, the receiver is gone for good, or the time for it is over. A receiver that
    asks for a longer pause gets it. `chance` is 0 … 1.
    """
    if status is not None and (200 <= status < 300 or status == GONE):
        return None
    backoff_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * GROWTH ** min(attempts - 1, 30))
    delay_s = max(asked_s, backoff_s * (1 + SPREAD * (2 * chance - 1)))
    return delay_s if delay_s <= left_s else None


def retry_after_s(header: str, now_s: float) -> float:
    """What a Retry-After header asks for, in seconds or as a date; 0 where that is not clear."""
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now_s, UTC)).total_seconds())
