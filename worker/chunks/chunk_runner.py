"""The offline lane of a worker: claims a chunk, reads its rows, runs it in the engine, stores and commits the
result. A chunk that ended two workers runs in quarantine instead.

A Celery thread moves the payloads and renews the lease; the engine predicts. So payloads of one chunk move
while another chunk computes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import pyarrow as pa
import structlog
from redis.exceptions import RedisError

from shared import tables
from shared.backoff import Backoff
from shared.connections import means_away
from shared.dead_letters import DeadLetters, LetterKind, Unreadable
from shared.errors import PayloadCorruptError, PayloadError, PayloadStoreAwayError
from shared.integrity import object_digest, require_intact
from shared.keys import ModelKey
from shared.ledger import INLINE_BYTES, Claim, CommitOutcome, Ended, Ledger
from shared.payloads import PayloadStore, result_path, rows_path
from worker.chunks.lease_keeper import LeaseKeeper
from worker.chunks.small import MOST_TOGETHER, Lease, SmallChunks
from worker.execution.invalid_rows import failures_of, part_rows
from worker.execution.slices import ChunkWork, Slicer
from worker.models.provenance import Provenance
from worker.predictors import Predictor
from worker.predictors.golden import BrokenModelError
from worker.sandbox.sandbox_runner import SandboxError, SandboxRunner
from worker.telemetry.worker_counters import ChunkCounters
from worker.telemetry.worker_tracing import NO_TRACES, Traces

log = structlog.get_logger(__name__)

T = TypeVar("T")

QUARANTINED_ATTEMPT = 3
"""From this attempt on a chunk runs in quarantine: it has ended two workers, and must not end a third."""
RETRY_S = 0.5
LOOK_EVERY_S = 0.5
"""How soon a chunk stops after its job is canceled or paused."""
LOST_ROWS_DELAY = Backoff(first_s=2.0)
"""Delay before the next attempt if stored rows are missing or damaged: 30 s in total for five attempts. A
network file system may show a file late."""
LOST_ROWS = "payload_lost: the stored rows of this chunk are missing or damaged"
CHANGED_ROWS = "payload_corrupt: the stored rows of this chunk differ from the rows that were written"
STORE_PATIENCE_S = 300.0
"""How long a chunk is kept while the payload store is away, before the attempt counts as failed."""


class LeaseLostError(Exception):
    """The lease has ended, or this worker takes no work: the chunk is handed back."""


class ChunkRunner:
    """Runs the chunks that doorbells announce. Shared by all Celery threads of a worker."""

    def __init__(
        self,
        ledger: Ledger,
        store: PayloadStore,
        engine: Slicer,
        predictors: dict[ModelKey, Predictor],
        dead_letters: DeadLetters,
        *,
        quarantine: SandboxRunner,
        lease_s: float,
        counters: ChunkCounters,
        traces: Traces = NO_TRACES,
        device: str = "cpu",
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._engine = engine
        self._quarantine = quarantine
        self._predictors = predictors
        self._dead_letters = dead_letters
        self._lease_s = lease_s
        self._keeper = LeaseKeeper(self._renewed, every_s=self._renew_every_s, most_s=STORE_PATIENCE_S)
        self._counters = counters
        self._traces = traces
        self._provenance = Provenance(device)
        self._stopping = threading.Event()
        self._small = SmallChunks(
            Lease(self._renewed, self._release, self._committed, self._remove),
            store,
            engine,
            self._keeper,
            counters=counters,
            traces=traces,
            provenance=self._provenance,
            renew_every_s=self._renew_every_s,
        )
        self._paused = threading.Event()
        self._idle = threading.Condition()
        self._running = 0

    def start(self) -> None:
        """Start keeping leases while payloads move."""
        self._keeper.start()

    @property
    def running(self) -> int:
        """Number of chunks in hand."""
        return self._running

    @property
    def idle(self) -> bool:
        """Whether no chunk is in hand."""
        return self._running == 0

    def pause(self) -> None:
        """Claim nothing until `resume`, and hand back chunks in quarantine; the engine releases the
        others."""
        self._paused.set()

    def resume(self) -> None:
        self._paused.clear()

    def drain(self, timeout_s: float) -> bool:
        """Wait until no chunk is in hand; the last call before the worker ends. → whether none is."""
        with self._idle:
            is_idle = self._idle.wait_for(lambda: self._running == 0, timeout_s)
        self._keeper.stop()
        return is_idle

    def stop(self) -> None:
        """Claim nothing more, stop waiting for an unreachable Redis, and end the quarantine processes."""
        self._stopping.set()
        self._quarantine.close()

    def run_next(self, key: ModelKey) -> bool:
        """Claim the next chunks of a model version and run them. → whether there were any."""
        predictor = self._predictors.get(key)
        with self._counted():  # counted before the claim, so that a thread about to claim does not look idle
            if predictor is None or self._takes_no_work:
                return False
            claims = self._ledger.claim_some(
                key,
                digest=predictor.version.identity.artifact_sha256,
                spec_digest=predictor.version.identity.spec_sha256,
                most=MOST_TOGETHER,
                most_rows=predictor.spec.batching.max_rows,
            )
            for held in self._small.run(predictor, claims):
                self._run(predictor, held)
        return bool(claims)

    def _run(self, predictor: Predictor, held: Claim) -> None:
        key = predictor.key
        chunk_log = log.bind(job_id=held.job_id, chunk=held.index, model=key, attempt=held.attempt)
        self._counters.claimed(key, held.attempt)
        begun_s, outcome = time.monotonic(), "failed"
        try:
            outcome = self._see_through(predictor, held)
        except LeaseLostError:
            outcome = "handed_back"
            self._release(key, held)
        except PayloadStoreAwayError as error:
            chunk_log.error("chunk_failed", reason=error.detail)
            self._ledger.hand_back(key, held, at_fault=True)
        except PayloadError as error:
            outcome = "unreadable"
            chunk_log.error("chunk_unreadable", reason=error.detail)
            self._set_aside(key, held, error.detail)
            self._hand_back_unread(key, held, error)
        except (
            BrokenModelError,
            SandboxError,
            MemoryError,
        ) as error:  # from quarantine, or from this thread
            chunk_log.error("chunk_failed", reason=str(error) or type(error).__name__)
            self._ledger.hand_back(key, held, at_fault=True)
        else:
            chunk_log.info("chunk_ended", rows=held.rows, outcome=str(outcome))
        finally:
            took_s = time.monotonic() - begun_s
            self._counters.ended(key, outcome, took_s)
            self._traces.chunk_ended(key, held, str(outcome), took_s)

    def _see_through(self, predictor: Predictor, held: Claim) -> str:
        work, rows = self._load(predictor, held)
        if work.rows and held.attempt < QUARANTINED_ATTEMPT:
            self._run_in_engine(work, held)
        elif work.rows:
            self._run_in_quarantine(work, rows, held)
        if not work.complete:
            self._release(predictor.key, held)
            return "handed_back"
        answer = work.answer()
        path = result_path(held.job_id, held.index, held.token)
        data = tables.write_ipc(answer.to_batches(), answer.schema, self._store.compression)
        is_inline = bool(held.data) and len(data) <= INLINE_BYTES
        if not is_inline:
            self._patiently(held, lambda: self._store.put(path, data))
        failures = failures_of(answer, work.invalid.first_row)
        outcome = self._commit(
            predictor.key,
            Ended(
                held=held,
                rows_succeeded=held.rows - failures.rows,
                rows_failed=failures.rows,
                first_errors=failures.first,
                result=data if is_inline else b"",
                result_digest=object_digest(data),
                computed_by=self._provenance.of(
                    predictor, quarantined=held.attempt >= QUARANTINED_ATTEMPT and work.rows > 0
                ),
            ),
        )
        if outcome is CommitOutcome.COMMITTED:
            self._counters.committed(
                predictor.key, rows_succeeded=held.rows - failures.rows, rows_failed=failures.rows
            )
        if outcome is CommitOutcome.LOST and not is_inline:
            # no reader will ask for it, and the job's data may already be removed
            self._remove(path)
        return outcome or CommitOutcome.LOST

    def _run_in_engine(self, work: ChunkWork, held: Claim) -> None:
        self._engine.submit(work)
        while not work.ended.wait(self._renew_every_s):
            if not self._renewed(held):
                work.stop()

    def _run_in_quarantine(self, work: ChunkWork, rows: pa.RecordBatch, held: Claim) -> None:
        """Run the rows in a separate process, which they may end."""
        self._counters.quarantined(work.predictor.key)
        log.warning("chunk_quarantined", job_id=held.job_id, chunk=held.index, attempt=held.attempt)
        renewed_s = time.monotonic()

        def may_go_on() -> bool:
            nonlocal renewed_s
            if self._takes_no_work:
                return False
            if time.monotonic() - renewed_s < self._renew_every_s:
                return True
            renewed_s = time.monotonic()
            return self._renewed(held)

        results = self._quarantine.run(work.predictor, rows, may_go_on)
        if results is not None:
            work.results, work.position = results, work.rows

    @property
    def _takes_no_work(self) -> bool:
        return self._stopping.is_set() or self._paused.is_set()

    @property
    def _renew_every_s(self) -> float:
        return min(self._lease_s / 3, LOOK_EVERY_S)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._idle:
            self._running += 1
        try:
            yield
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def _load(self, predictor: Predictor, held: Claim) -> tuple[ChunkWork, pa.RecordBatch]:
        """→ the chunk's work, and its valid rows as stored."""
        table = tables.read_ipc(self._rows(held), verified=bool(held.rows_digest))
        if table.num_rows != held.rows:
            raise PayloadError(f"a stored chunk has {table.num_rows} rows instead of {held.rows}")
        try:
            invalid, valid = part_rows(table)
            columns = tables.columns_of_batch(predictor.spec, valid)
        except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
            raise PayloadError(f"a stored chunk does not match the inputs of its model: {error}") from error
        return ChunkWork(predictor, f"{held.job_id}/{held.index}", columns, invalid), valid

    def _rows(self, held: Claim) -> bytes:
        """The chunk's rows as stored. Raises PayloadCorruptError if two reads both fail the digest check."""
        path, what = rows_path(held.job_id, held.index), f"rows of chunk {held.index} of job {held.job_id}"

        def read() -> bytes:
            return require_intact(held.data or self._store.get(path), held.rows_digest, what)

        try:
            return self._patiently(held, read)
        except PayloadCorruptError:  # the read may be wrong and the stored object right
            return self._patiently(held, read)

    def _patiently(self, held: Claim, move: Callable[[], T]) -> T:
        """Read or write a payload; repeat while the store is away, under the chunk's lease.

        Raises LeaseLostError; PayloadStoreAwayError after STORE_PATIENCE_S; PayloadError if the object does
        not exist.
        """
        end_s = time.monotonic() + STORE_PATIENCE_S
        while True:
            try:
                with self._keeper.keeping(held):
                    return move()
            except PayloadStoreAwayError as error:
                if time.monotonic() >= end_s:
                    raise
                log.warning("store_away", job_id=held.job_id, chunk=held.index, reason=error.detail)
                if self._stopping.wait(RETRY_S) or self._takes_no_work or not self._renewed(held):
                    raise LeaseLostError from error

    def _remove(self, path: str) -> None:
        """Remove a payload. If that fails, it is removed with its job."""
        try:
            self._store.remove(path)
        except PayloadError as error:
            log.warning("payloads_not_removed", path=path, reason=error.detail)

    def _set_aside(self, key: ModelKey, held: Claim, reason: str) -> None:
        place = f"{held.job_id}/{held.index}"
        self._dead_letters.set_aside(Unreadable(kind=LetterKind.CHUNK, place=place, model=key, reason=reason))

    def _renewed(self, held: Claim) -> bool:
        try:
            renewed = self._ledger.renew(held)
        except RedisError as error:
            self._counters.renewed("failed")
            # the work continues: the commit detects a lease that has expired
            log.warning("lease_not_renewed", job_id=held.job_id, chunk=held.index, reason=str(error))
            return True
        self._counters.renewed("renewed" if renewed else "ended")
        return renewed

    def _hand_back_unread(self, key: ModelKey, held: Claim, error: PayloadError) -> None:
        """Hand back a chunk with unreadable rows, with a delay if its rows are in the store: they may
        become readable. Rows in the ledger will not."""
        reason = CHANGED_ROWS if isinstance(error, PayloadCorruptError) else LOST_ROWS
        is_last = held.data or held.attempt >= self._ledger.max_attempts
        delay_s = 0.0 if is_last else LOST_ROWS_DELAY.pause_s(held.attempt)
        self._ledger.hand_back(key, held, at_fault=True, reason=reason, delay_s=delay_s)

    def _release(self, key: ModelKey, held: Claim) -> None:
        self._ledger.hand_back(key, held, at_fault=False)

    def _commit(self, key: ModelKey, ended: Ended) -> CommitOutcome | None:
        """The outcome of a chunk's commit; None: see `_committed`."""
        outcomes = self._committed(key, [ended])
        return outcomes[0] if outcomes else None

    def _committed(self, key: ModelKey, ended: Sequence[Ended]) -> list[CommitOutcome] | None:
        """Commit, and repeat while Redis is away, so that a stored result is not lost.

        None: this worker is stopping and has no answer. The commit may have counted, so the results must
        stay.
        """
        while True:
            try:
                return self._ledger.commit_some(key, ended)
            except RedisError as error:
                if not means_away(error):
                    raise
                log.warning("commit_delayed", chunks=len(ended), reason=str(error))
                if self._stopping.wait(RETRY_S):
                    return None
