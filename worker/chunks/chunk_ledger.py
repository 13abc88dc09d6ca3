"""The ledger as the chunks of a worker use it: each renewal, commit and end is counted and logged, and a
commit waits while Redis is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import structlog
from redis.exceptions import RedisError

from shared.connections import means_away
from shared.errors import PayloadError
from shared.keys import ModelKey
from shared.ledger import Claim, CommitOutcome, Ledger
from shared.payloads import PayloadStore
from worker.chunks.chunk_result import ChunkResult
from worker.execution.slices import ChunkWork
from worker.telemetry.worker_counters import ChunkCounters
from worker.telemetry.worker_tracing import Traces

log = structlog.get_logger(__name__)

COMMIT_RETRY_S = 0.5
"""Time between two attempts to commit while Redis is away."""


class ChunkLedger:
    """Shared by all Celery threads of a worker, and by its lease keeper."""

    def __init__(
        self,
        ledger: Ledger,
        store: PayloadStore,
        *,
        counters: ChunkCounters,
        traces: Traces,
        stopping: threading.Event,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._counters = counters
        self._traces = traces
        self._stopping = stopping

    def renewed(self, held: Claim) -> bool:
        """Renew a lease. → whether the work on the chunk is to continue"""
        try:
            renewed = self._ledger.renew(held)
        except RedisError as error:
            self._counters.renewed("failed")
            # the work continues: the commit detects a lease that has expired
            log.warning("lease_not_renewed", job_id=held.job_id, chunk=held.index, reason=str(error))
            return True
        self._counters.renewed("renewed" if renewed else "ended")
        return renewed

    def renew_until_ended(self, work: ChunkWork, claims: Sequence[Claim], every_s: float) -> None:
        """Wait for the engine to end the work. Stop the work if the lease of every chunk has ended."""
        while not work.ended.wait(every_s):
            renewed = [self.renewed(held) for held in claims]  # a list: every lease is renewed
            if not any(renewed):
                work.stop()

    def release(self, key: ModelKey, held: Claim) -> None:
        """Hand a chunk back; the attempt does not count."""
        self._ledger.hand_back(key, held, at_fault=False)

    def commit(self, key: ModelKey, results: Sequence[ChunkResult]) -> Sequence[CommitOutcome]:
        """Commit results, each on its own, and remove the stored results of lost chunks."""
        outcomes = self._committed(key, results) if results else []
        if outcomes is None:  # the commit may have counted, so the stored results stay
            return [CommitOutcome.LOST] * len(results)
        for result, outcome in zip(results, outcomes, strict=True):
            if outcome is CommitOutcome.COMMITTED:
                ended = result.ended
                rows = {"rows_succeeded": ended.rows_succeeded, "rows_failed": ended.rows_failed}
                self._counters.committed(key, **rows)
            elif outcome is CommitOutcome.LOST and not result.in_ledger:
                self._remove(result.path)  # nothing refers to it, and the job's data may already be removed
        return outcomes

    def ended(self, key: ModelKey, held: Claim, outcome: str, begun_s: float) -> None:
        """Count, trace and log the end of the work on a chunk, which began at `begun_s`."""
        took_s = time.monotonic() - begun_s
        self._counters.ended(key, outcome, took_s)
        self._traces.chunk_ended(key, held, outcome, took_s)
        log.info(
            "chunk_ended",
            job_id=held.job_id,
            chunk=held.index,
            model=key,
            attempt=held.attempt,
            rows=held.rows,
            outcome=str(outcome),
        )

    def _committed(self, key: ModelKey, results: Sequence[ChunkResult]) -> Sequence[CommitOutcome] | None:
        """Commit, and repeat while Redis is away, so that a stored result is not lost. None: this worker is
        stopping and has no answer."""
        while True:
            try:
                return self._ledger.commit_some(key, [result.ended for result in results])
            except RedisError as error:
                if not means_away(error):
                    raise
                log.warning("commit_delayed", chunks=len(results), reason=str(error))
                if self._stopping.wait(COMMIT_RETRY_S):
                    return None

    def _remove(self, path: str) -> None:
        """Remove a payload. If that fails, it is removed with its job."""
        try:
            self._store.remove(path)
        except PayloadError as error:
            log.warning("payloads_not_removed", path=path, reason=error.detail)
