"""Notifies workers of new chunks through their Celery queues, from a thread, so that no request waits for
Celery.

A doorbell is a Celery message without content: "chunks of this model version are ready". A doorbell that
cannot be sent is dropped: the ledger has the work, and the workers' reconciler sends another. A doorbell is
also dropped if enough unanswered doorbells wait, or if it follows them too soon: the worker that answers an
earlier doorbell finds these chunks too.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from queue import Empty, Full, Queue

import structlog
from celery import Celery

from shared.connections import connect
from shared.doorbells import TASK, celery_settings
from shared.keys import ModelKey, offline_queue
from shared.settings import Settings

log = structlog.get_logger()

MOST_WAITING = 1000
ENOUGH = 8
"""Waiting doorbells of a model version that suffice. Idle threads take a doorbell at once, so that this many
wait only if all threads work, and each thread continues until no chunk is ready."""
BURST, PER_S = 16, 50
"""Most doorbells of a model version at once, and then per second. A Celery message costs both programs more
than a small job, and a worker that answers it takes all small jobs that are ready."""
REST_S = 1 / PER_S
"""How long doorbells are collected after a limit was reached."""
LONGEST_JOIN_S = 2.0


class TokenBucket:
    """A burst at once, then a steady rate: a bucket of `burst` tokens that refills at `per_s`. Pure."""

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._turns = float(burst)
        self._at_s = 0.0

    def take(self, wanted: int, now_s: float) -> int:
        """Take up to `wanted` tokens. → how many were taken: at least 1, whatever the bucket holds"""
        filled = min(float(self._burst), self._turns + (now_s - self._at_s) * self._per_s)
        taken = max(1, min(wanted, int(filled)))
        self._turns, self._at_s = max(0.0, filled - taken), now_s
        return taken

    @property
    def spent(self) -> bool:
        """Whether the bucket has no whole token."""
        return self._turns < 1


class Doorbell:
    """A `shared.doorbells.Notify`. Calls neither raise nor block."""

    def __init__(self, settings: Settings) -> None:
        # without Celery's Django fixup, which would import celery.worker
        self._celery = Celery("takt-gateway", set_as_current=False, fixups=[])
        chosen = celery_settings(settings)
        # kombu would otherwise try to connect for ever, and send the message much later
        chosen["broker_transport_options"] |= {"max_retries": 1, "interval_start": 0}
        self._celery.conf.update(chosen)
        self._client = connect(settings.redis_dsn())
        self._queued: Queue[ModelKey | None] = Queue(MOST_WAITING)
        self._buckets: defaultdict[ModelKey, TokenBucket] = defaultdict(lambda: TokenBucket(BURST, PER_S))
        self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)

    def __call__(self, key: ModelKey, count: int) -> None:
        try:
            for _ in range(count):
                self._queued.put_nowait(key)
        except Full:
            log.warning("doorbells_dropped", key=key)

    @property
    def running(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send the remaining doorbells; waits two seconds at most."""
        try:
            self._queued.put_nowait(None)
        except Full:
            return
        self._thread.join(LONGEST_JOIN_S)

    def _run(self) -> None:
        going_on = True
        while going_on:
            keys = self._collected()
            going_on = None not in keys
            reached_limit = [self._notify(key, count) for key, count in keys.items() if key is not None]
            if any(reached_limit) and going_on:
                time.sleep(REST_S)

    def _collected(self) -> Counter[ModelKey | None]:
        """Wait for a doorbell, and count all queued doorbells by model version. The key None: stop."""
        keys = Counter([self._queued.get()])
        with suppress(Empty):
            while None not in keys:
                keys[self._queued.get_nowait()] += 1
        return keys

    def _notify(self, key: ModelKey, count: int) -> bool:
        """Send up to `count` doorbells. → whether a limit was reached: the next are to be collected"""
        bucket = self._buckets[key]
        try:
            waiting = self._client.llen(offline_queue(key))
            if waiting >= ENOUGH:
                return True
            for _ in range(bucket.take(min(count, ENOUGH - waiting), time.monotonic())):
                self._celery.send_task(TASK, args=[key], queue=offline_queue(key), ignore_result=True)
        except Exception as error:  # whatever Celery and its transport raise
            log.warning("doorbell_failed", key=key, error=type(error).__name__)
            self._forget()
        return bucket.spent

    def _forget(self) -> None:
        # the server is away: each queued doorbell would fail after a timeout of its own
        try:
            while True:
                if self._queued.get_nowait() is None:
                    self._queued.put_nowait(None)
                    return
        except Empty:
            return
