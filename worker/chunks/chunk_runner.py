"""The offline lane of a worker: claims a chunk, reads its rows, runs it in the engine, stores and commits the
result. A chunk that ended two workers runs in quarantine instead.

A Celery thread moves the payloads and renews the lease; the engine predicts. So payloads of a chunk move
while another chunk computes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pyarrow as pa
import structlog
from structlog.contextvars import bound_contextvars

from shared import arrow_tables
from shared.backoff import Backoff
from shared.dead_letters import DeadLetters, LetterKind, Unreadable
from shared.errors import PayloadCorruptError, PayloadError, PayloadStoreAwayError
from shared.integrity import require_intact
from shared.keys import ModelKey
from shared.ledger import Claim, Ledger
from shared.payloads import PayloadStore, rows_path
from worker.chunks.chunk_ledger import ChunkLedger
from worker.chunks.chunk_result import result_of
from worker.chunks.lease_keeper import LeaseKeeper
from worker.chunks.small_chunks import MOST_TOGETHER, SmallChunks
from worker.execution.invalid_rows import part_rows
from worker.execution.slices import ChunkWork, Slicer
from worker.models.provenance import Provenance
from worker.predictors import Predictor
from worker.predictors.golden_check import BrokenModelError
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
        self._stopping = threading.Event()
        self._chunks = ChunkLedger(ledger, store, counters=counters, traces=traces, stopping=self._stopping)
        self._keeper = LeaseKeeper(self._chunks.renewed, every_s=self._renew_every_s, most_s=STORE_PATIENCE_S)
        self._counters = counters
        self._provenance = Provenance(device)
        self._small = SmallChunks(
            self._chunks,
            store,
            engine,
            self._keeper,
            counters=counters,
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
        self._counters.claimed(key, held.attempt)
        begun_s, outcome = time.monotonic(), "failed"
        with bound_contextvars(job_id=held.job_id, chunk=held.index, model=key, attempt=held.attempt):
            try:
                outcome = self._see_through(predictor, held)
            except LeaseLostError:
                outcome = "handed_back"
                self._chunks.release(key, held)
            except PayloadError as error:
                outcome = self._unmoved(key, held, error)
            except (BrokenModelError, SandboxError, MemoryError) as error:  # from quarantine or this thread
                log.error("chunk_failed", reason=str(error) or type(error).__name__)
                self._ledger.hand_back(key, held, at_fault=True)
            finally:
                self._chunks.ended(key, held, outcome, begun_s)

    def _see_through(self, predictor: Predictor, held: Claim) -> str:
        work, rows = self._load(predictor, held)
        quarantined = held.attempt >= QUARANTINED_ATTEMPT and work.rows > 0
        if quarantined:
            self._run_in_quarantine(work, rows, held)
        elif work.rows:
            self._engine.submit(work)
            self._chunks.renew_until_ended(work, [held], self._renew_every_s)
        if not work.complete:
            self._chunks.release(predictor.key, held)
            return "handed_back"
        result = result_of(
            held,
            work.answer(),
            work.invalid.first_row,
            computed_by=self._provenance.of(predictor, quarantined=quarantined),
            compression=self._store.compression,
        )
        if not result.in_ledger:
            self._patiently(held, lambda: self._store.put(result.path, result.data))
        (outcome,) = self._chunks.commit(predictor.key, [result])
        return str(outcome)

    def _run_in_quarantine(self, work: ChunkWork, rows: pa.RecordBatch, held: Claim) -> None:
        """Run the rows in a separate process, which they may end."""
        self._counters.quarantined(work.predictor.key)
        log.warning("chunk_quarantined")
        renewed_s = time.monotonic()

        def may_go_on() -> bool:
            nonlocal renewed_s
            if self._takes_no_work:
                return False
            if time.monotonic() - renewed_s < self._renew_every_s:
                return True
            renewed_s = time.monotonic()
            return self._chunks.renewed(held)

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
        table = arrow_tables.read_ipc(self._rows(held), verified=bool(held.rows_digest))
        if table.num_rows != held.rows:
            raise PayloadError(f"a stored chunk has {table.num_rows} rows instead of {held.rows}")
        try:
            invalid, valid = part_rows(table)
            columns = arrow_tables.columns_of_batch(predictor.spec, valid)
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
                log.warning("store_away", reason=error.detail)
                if self._stopping.wait(RETRY_S) or self._takes_no_work or not self._chunks.renewed(held):
                    raise LeaseLostError from error

    def _set_aside(self, key: ModelKey, held: Claim, reason: str) -> None:
        place = f"{held.job_id}/{held.index}"
        self._dead_letters.set_aside(Unreadable(kind=LetterKind.CHUNK, place=place, model=key, reason=reason))

    def _unmoved(self, key: ModelKey, held: Claim, error: PayloadError) -> str:
        """Hand back a chunk with rows that cannot be read, or with a result that cannot be written. → the
        outcome

        If the rows are in the store, the chunk returns after a delay: they may become readable. Rows in the
        ledger will not.
        """
        if isinstance(error, PayloadStoreAwayError):
            log.error("chunk_failed", reason=error.detail)
            self._ledger.hand_back(key, held, at_fault=True)
            return "failed"
        log.error("chunk_unreadable", reason=error.detail)
        self._set_aside(key, held, error.detail)
        reason = CHANGED_ROWS if isinstance(error, PayloadCorruptError) else LOST_ROWS
        is_last = held.data or held.attempt >= self._ledger.max_attempts
        delay_s = 0.0 if is_last else LOST_ROWS_DELAY.pause_s(held.attempt)
        self._ledger.hand_back(key, held, at_fault=True, reason=reason, delay_s=delay_s)
        return "unreadable"
