"""Restores work that lost leases and lost doorbells left behind. A single worker does it at a time, about
every second; every step is fenced."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import cast

import redis
import structlog
from redis.exceptions import RedisError

from shared import keys
from shared.dead_letters import DeadLetters, LetterKind, Unreadable
from shared.doorbells import Notify
from shared.errors import PayloadError
from shared.keys import ModelKey
from shared.ledger import Ledger
from shared.payloads import PayloadStore
from shared.recovery_times import RECONCILE_EVERY_S, RECONCILER_LOCK_MS
from shared.worker_records import UnreadableHeartbeatError, WorkerRecord, read_heartbeat
from worker.chunks.orphaned_payloads import Orphans

log = structlog.get_logger(__name__)

EXPIRY_LIMIT_S = 1.0
"""Time limit per pass for removing data of expired jobs; the next pass continues."""


def missing_doorbells(ready: int, slots: int, queued: int) -> int:
    """How many doorbells to send, so that there are at least min(ready chunks, live slots)."""
    return max(0, min(ready, slots) - queued)


class Reconciler(threading.Thread):
    """Runs in every worker; the worker that holds the lock does the work."""

    def __init__(
        self,
        client: redis.Redis,
        ledger: Ledger,
        store: PayloadStore,
        notify: Notify,
        worker_id: str,
        *,
        slots: int,
        orphans: Orphans | None = None,
        ended: Sequence[str] = (),
    ) -> None:
        """`ended`: workers that are known to have ended, whose leases end with the first pass."""
        super().__init__(name="reconciler", daemon=True)
        self._client = client
        self._ledger = ledger
        self._store = store
        self._notify = notify
        self._worker_id = worker_id
        self._slots = slots
        self._orphans = orphans
        self._ended = tuple(ended)
        self._dead_letters = DeadLetters(client)
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()
        self.join(timeout=5)

    def run(self) -> None:
        self._try(self.take_over)
        while not self._stopping.wait(RECONCILE_EVERY_S):
            self._try(self.take_turn)

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except (RedisError, MemoryError) as error:
            log.warning("reconcile_failed", reason=str(error))
        except Exception:  # an exception in a pass must not end the thread
            log.exception("reconcile_broke")

    def take_over(self) -> None:
        """End the leases of ended workers, whoever leads: every step is fenced."""
        if self._ended:
            lock = keys.reconciler_lock()
            if self._client.get(lock) in [worker_id.encode() for worker_id in self._ended]:
                self._client.delete(lock)
            self.reconcile(self._ended)

    def take_turn(self) -> bool:
        """Run a pass if this worker leads. → whether it leads."""
        if not self._leads():
            return False
        self.reconcile()
        return True

    def reconcile(self, ended: Sequence[str] = ()) -> None:
        """Handle expired leases and those of ended workers, doorbells, then the data of expired jobs, which
        may take longer."""
        expired = self._ledger.expire_leases(ended)
        self._top_up_all()
        for job_id in expired.interrupted:
            log.warning("upload_interrupted", job_id=job_id)
            self._remove(job_id)
        for job_id in expired.orphaned:
            self._remove(job_id)
        self._expire_jobs()
        if self._orphans is not None:
            self._orphans.step()

    def _top_up_all(self) -> None:
        workers = self._live_workers()
        all_slots = self._slots * max(1, len(workers))
        for key, ready in self._ledger.ready(most=all_slots).items():
            self._top_up(key, ready, self._slots * sum(worker.holds(key) for worker in workers))

    def _expire_jobs(self) -> None:
        end_s = time.monotonic() + EXPIRY_LIMIT_S
        while due := self._ledger.expire_jobs():
            for job_id in due:
                log.info("job_retired", job_id=job_id)
                if self._remove(job_id):
                    self._ledger.removed(job_id)
            if time.monotonic() >= end_s:
                return

    def _remove(self, job_id: str) -> bool:
        """→ whether the job's data is removed. If not, it is due again when its retention ends again."""
        try:
            self._store.remove_job(job_id)
        except PayloadError as error:
            log.warning("payloads_not_removed", job_id=job_id, reason=error.detail)
            return False
        return True

    def _leads(self) -> bool:
        name, me = keys.reconciler_lock(), self._worker_id
        if self._client.set(name, me, nx=True, px=RECONCILER_LOCK_MS):
            return True
        if self._client.get(name) != me.encode():
            return False
        # every step is fenced, so two leaders at the same time do no harm
        self._client.pexpire(name, RECONCILER_LOCK_MS)
        return True

    def _top_up(self, key: ModelKey, ready: int, slots: int) -> None:
        queue = keys.offline_queue(key)
        missing = missing_doorbells(ready, slots, int(self._client.llen(queue)))
        if missing:
            log.info("doorbells_topped_up", model=key, ready=ready, sent=missing)
            self._notify(key, missing)

    def _live_workers(self) -> list[WorkerRecord]:
        """The records of all live workers; unreadable records go to the dead letters."""
        ids = cast(list[bytes], self._client.zrange(keys.workers(), 0, -1))
        with self._client.pipeline(transaction=False) as pipe:
            for worker_id in ids:
                pipe.hgetall(keys.worker(worker_id.decode(errors="replace")))
            records = [self._read(*found) for found in zip(ids, pipe.execute(), strict=True)]
        return [record for record in records if record is not None]

    def _read(self, worker_id: bytes, fields: dict[bytes, bytes]) -> WorkerRecord | None:
        try:
            return read_heartbeat(fields)
        except UnreadableHeartbeatError as error:
            place, data = worker_id.decode(errors="replace"), fields.get(b"record", b"")
            found = Unreadable(kind=LetterKind.HEARTBEAT, place=place, reason=str(error), data=data)
            if self._dead_letters.set_aside(found):
                log.error("heartbeat_unreadable", worker=place, reason=str(error))
            return None
