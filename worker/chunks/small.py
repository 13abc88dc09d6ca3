"""Runs small chunks together: a single engine turn and commit for all chunks of a claim.

An irregular chunk (unreadable rows, invalid rows, or a result that cannot be stored) runs alone instead
(`worker/chunks/chunk_runner.py`), so that its failure does not affect the others. The engine isolates rows on
which
the model fails, as in any batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import structlog

from shared import tables
from shared.columns import Columns
from shared.errors import PayloadError
from shared.integrity import object_digest, require_intact
from shared.keys import ModelKey
from shared.ledger import INLINE_BYTES, Claim, CommitOutcome, Ended
from shared.payloads import PayloadStore, result_path
from worker.chunks.lease_keeper import LeaseKeeper
from worker.execution.invalid_rows import InvalidRows, failures_of, part_rows
from worker.execution.slices import ChunkWork, Slicer
from worker.models.provenance import Provenance
from worker.predictors import Predictor
from worker.telemetry.worker_counters import ChunkCounters
from worker.telemetry.worker_tracing import Traces

log = structlog.get_logger(__name__)

MOST_TOGETHER = 32
"""Most chunks of a claim: its scripts occupy Redis for about 0.1 ms per chunk."""


@dataclass(frozen=True)
class Lease:
    """Operations on a claimed chunk, see `ChunkRunner`."""

    renew: Callable[[Claim], bool]
    hand_back: Callable[[ModelKey, Claim], None]
    commit: Callable[[ModelKey, Sequence[Ended]], Sequence[CommitOutcome] | None]
    remove: Callable[[str], None]


@dataclass(frozen=True)
class _Small:
    """A chunk that is read and has no invalid row."""

    held: Claim
    first_row: int | None
    columns: Columns


class SmallChunks:
    """Runs small chunks. Shared by all Celery threads of a worker."""

    def __init__(
        self,
        lease: Lease,
        store: PayloadStore,
        engine: Slicer,
        keeper: LeaseKeeper,
        *,
        counters: ChunkCounters,
        traces: Traces,
        provenance: Provenance,
        renew_every_s: float,
    ) -> None:
        self._lease = lease
        self._store = store
        self._engine = engine
        self._keeper = keeper
        self._counters = counters
        self._traces = traces
        self._provenance = provenance
        self._renew_every_s = renew_every_s

    def run(self, predictor: Predictor, claims: Sequence[Claim]) -> Iterator[Claim]:
        """Run the small chunks. → the other claims, to be run one by one, each under its lease."""
        ready, others = _read(predictor, claims)
        if ready:
            others += self._run_together(predictor, ready)
        for held in others:
            if not held.small or self._lease.renew(held):
                yield held
            else:
                self._lease.hand_back(predictor.key, held)

    def _run_together(self, predictor: Predictor, ready: Sequence[_Small]) -> list[Claim]:
        """→ the chunks without a stored result."""
        begun_s = time.monotonic()
        work = _joined(predictor, ready)
        self._engine.submit(work)
        while not work.ended.wait(self._renew_every_s):
            renewed = [self._lease.renew(one.held) for one in ready]  # a list: every lease is renewed
            if not any(renewed):
                work.stop()
        if not work.complete:
            for one in ready:
                self._lease.hand_back(predictor.key, one.held)
                self._trace(predictor.key, one.held, "handed_back", begun_s)
            return []
        with ExitStack() as kept:
            for one in ready:  # the store may be slow for one chunk while the others wait
                kept.enter_context(self._keeper.keeping(one.held))
            computed_by = self._provenance.of(predictor)
            ended = [self._ended(one, answer, computed_by) for one, answer in _answers(ready, work)]
        self._commit(predictor.key, [one for one in ended if one is not None], begun_s)
        return [one.held for one, its_end in zip(ready, ended, strict=True) if its_end is None]

    def _ended(self, one: _Small, answer: pa.Table, computed_by: str) -> Ended | None:
        """The chunk's commit; None if the store does not take its result."""
        held, failures = one.held, failures_of(answer, one.first_row)
        result = tables.write_ipc(answer.to_batches(), answer.schema)
        is_inline = len(result) <= INLINE_BYTES
        if not is_inline and not self._is_stored(held, result):
            return None
        return Ended(
            held=held,
            rows_succeeded=held.rows - failures.rows,
            rows_failed=failures.rows,
            first_errors=failures.first,
            result=result if is_inline else b"",
            result_digest=object_digest(result),
            computed_by=computed_by,
        )

    def _is_stored(self, held: Claim, result: bytes) -> bool:
        try:
            self._store.put(result_path(held.job_id, held.index, held.token), result)
        except PayloadError:
            return False
        return True

    def _commit(self, key: ModelKey, ended: Sequence[Ended], begun_s: float) -> None:
        outcomes = self._lease.commit(key, ended) if ended else []
        for one, outcome in zip(ended, outcomes or [CommitOutcome.LOST] * len(ended), strict=True):
            if outcome is CommitOutcome.COMMITTED:
                self._counters.committed(key, rows_succeeded=one.rows_succeeded, rows_failed=one.rows_failed)
            if outcomes and outcome is CommitOutcome.LOST and not one.result:
                self._lease.remove(result_path(one.held.job_id, one.held.index, one.held.token))
            self._trace(key, one.held, outcome, begun_s)

    def _trace(self, key: ModelKey, held: Claim, outcome: str, begun_s: float) -> None:
        took_s = time.monotonic() - begun_s
        self._counters.claimed(key, held.attempt)
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


def _read(predictor: Predictor, claims: Sequence[Claim]) -> tuple[list[_Small], list[Claim]]:
    """→ the regular small chunks, and the other claims."""
    ready: list[_Small] = []
    others: list[Claim] = []
    for held in claims:
        small = _small(predictor, held) if held.small else None
        if small is None:
            others.append(held)
        else:
            ready.append(small)
    return ready, others


def _small(predictor: Predictor, held: Claim) -> _Small | None:
    try:
        data = require_intact(held.data, held.rows_digest, f"rows of job {held.job_id}")
        invalid, rows = part_rows(tables.read_ipc(data, verified=bool(held.rows_digest)))
        columns = tables.columns_of_batch(predictor.spec, rows)
    except (PayloadError, pa.ArrowException, KeyError, ValueError, TypeError):
        return None
    is_whole = invalid.reasons is None and rows.num_rows == held.rows
    return _Small(held, invalid.first_row, columns) if is_whole else None


def _joined(predictor: Predictor, ready: Sequence[_Small]) -> ChunkWork:
    """One piece of work for the engine, named after the first chunk."""
    first = ready[0]
    columns = {
        name: np.concatenate([one.columns[name] for one in ready]) if len(ready) > 1 else array
        for name, array in first.columns.items()
    }
    return ChunkWork(predictor, f"{first.held.job_id}/{first.held.index}", columns, InvalidRows(None))


def _answers(ready: Sequence[_Small], work: ChunkWork) -> Iterator[tuple[_Small, pa.Table]]:
    """The results of each chunk."""
    whole = work.answer().combine_chunks()
    start = 0
    for one in ready:
        yield one, whole.slice(start, one.held.rows)
        start += one.held.rows
