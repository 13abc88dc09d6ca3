"""Runs small chunks together: a single engine turn and commit for all chunks of a claim.

An irregular chunk (unreadable rows, invalid rows, or a result that cannot be stored) runs alone instead
(`worker/chunks/chunk_runner.py`), so that its failure does not affect the others. The engine isolates rows
that make the model fail, as in any batch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import structlog

from shared import arrow_tables
from shared.columns import Columns
from shared.errors import PayloadError
from shared.integrity import require_intact
from shared.keys import ModelKey
from shared.ledger import Claim
from shared.payloads import PayloadStore
from worker.chunks.chunk_ledger import ChunkLedger
from worker.chunks.chunk_result import ChunkResult, result_of
from worker.chunks.lease_keeper import LeaseKeeper
from worker.execution.invalid_rows import InvalidRows, part_rows
from worker.execution.slices import ChunkWork, Slicer
from worker.models.provenance import Provenance
from worker.predictors import Predictor
from worker.telemetry.worker_counters import ChunkCounters

log = structlog.get_logger(__name__)

MOST_TOGETHER = 32
"""Most chunks of a claim: its scripts occupy Redis for about 0.1 ms per chunk."""


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
        chunks: ChunkLedger,
        store: PayloadStore,
        engine: Slicer,
        keeper: LeaseKeeper,
        *,
        counters: ChunkCounters,
        provenance: Provenance,
        renew_every_s: float,
    ) -> None:
        self._chunks = chunks
        self._store = store
        self._engine = engine
        self._keeper = keeper
        self._counters = counters
        self._provenance = provenance
        self._renew_every_s = renew_every_s

    def run(self, predictor: Predictor, claims: Sequence[Claim]) -> Iterator[Claim]:
        """Run the small chunks. → the other claims, to be run in turn, each under its lease."""
        ready, others = _read(predictor, claims)
        if ready:
            others += self._run_together(predictor, ready)
        for held in others:
            if not held.small or self._chunks.renewed(held):
                yield held
            else:
                self._chunks.release(predictor.key, held)

    def _run_together(self, predictor: Predictor, ready: Sequence[_Small]) -> list[Claim]:
        """→ the chunks without a stored result."""
        begun_s = time.monotonic()
        work = _joined(predictor, ready)
        self._engine.submit(work)
        self._chunks.renew_until_ended(work, [small.held for small in ready], self._renew_every_s)
        if work.complete:
            return self._commit(predictor, ready, work, begun_s)
        for small in ready:
            self._chunks.release(predictor.key, small.held)
            self._ended(predictor.key, small.held, "handed_back", begun_s)
        return []

    def _commit(
        self, predictor: Predictor, ready: Sequence[_Small], work: ChunkWork, begun_s: float
    ) -> list[Claim]:
        with ExitStack() as kept:
            for small in ready:  # the store may be slow for a chunk while the others wait
                kept.enter_context(self._keeper.keeping(small.held))
            results = [(result, self._is_stored(result)) for result in self._results(predictor, ready, work)]
        stored = [result for result, is_stored in results if is_stored]
        outcomes = self._chunks.commit(predictor.key, stored)
        for result, outcome in zip(stored, outcomes, strict=True):
            self._ended(predictor.key, result.ended.held, outcome, begun_s)
        return [result.ended.held for result, is_stored in results if not is_stored]

    def _results(self, predictor: Predictor, ready: Sequence[_Small], work: ChunkWork) -> list[ChunkResult]:
        computed_by, compression = self._provenance.of(predictor), self._store.compression
        return [
            result_of(small.held, answer, small.first_row, computed_by=computed_by, compression=compression)
            for small, answer in _answers(ready, work)
        ]

    def _is_stored(self, result: ChunkResult) -> bool:
        """Store a result that the ledger does not keep. → whether that succeeded"""
        try:
            if not result.in_ledger:
                self._store.put(result.path, result.data)
        except PayloadError:
            return False
        return True

    def _ended(self, key: ModelKey, held: Claim, outcome: str, begun_s: float) -> None:
        self._counters.claimed(key, held.attempt)
        self._chunks.ended(key, held, outcome, begun_s)


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
        invalid, rows = part_rows(arrow_tables.read_ipc(data, verified=bool(held.rows_digest)))
        columns = arrow_tables.columns_of_batch(predictor.spec, rows)
    except (PayloadError, pa.ArrowException, KeyError, ValueError, TypeError):
        return None
    is_whole = invalid.reasons is None and rows.num_rows == held.rows
    return _Small(held, invalid.first_row, columns) if is_whole else None


def _joined(predictor: Predictor, ready: Sequence[_Small]) -> ChunkWork:
    """A piece of work for the engine, named after the first chunk."""
    first = ready[0]
    columns = {
        name: np.concatenate([small.columns[name] for small in ready]) if len(ready) > 1 else array
        for name, array in first.columns.items()
    }
    return ChunkWork(predictor, f"{first.held.job_id}/{first.held.index}", columns, InvalidRows(None))


def _answers(ready: Sequence[_Small], work: ChunkWork) -> Iterator[tuple[_Small, pa.Table]]:
    """The results of each chunk."""
    whole = work.answer().combine_chunks()
    start = 0
    for small in ready:
        yield small, whole.slice(start, small.held.rows)
        start += small.held.rows
