"""The difference of two jobs with the same rows: counts, and the rows whose results differ.

    results of A, chunk by chunk ──┐
    results of B, cut to match ────┴─▶ Difference.add ─▶ counts
    rows of A, only if some differ ──────────────────────▶ table of the differing rows

At most one chunk of each job is in memory, whatever their sizes. Blocking: run it in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from api.access.principal import Principal
from api.jobs.authorization import own_results
from api.jobs.job_service import JobService
from api.jobs.job_views import POLL_AFTER_S
from shared.arrow_tables import ERROR, KEEP, ROW, plain_input_name
from shared.errors import InvalidInputError, ResultsNotReadyError
from shared.job_payloads import JobObjects
from shared.ledger import ChunkRecord, Inline, JobRecord, JobState
from shared.tabular.differences import Difference
from shared.tabular.result_pieces import Piece, pieces_of, readable
from shared.tabular.result_tables import ResultTables, named_apart

A, B = "_a", "_b"
"""Endings of the two results' column names."""


@dataclass(frozen=True)
class JobSide:
    """One of the two jobs, with its stored rows and results."""

    record: JobRecord
    chunks: list[ChunkRecord]
    objects: JobObjects

    @cached_property
    def pieces(self) -> list[Piece]:
        return pieces_of(readable(self.record, self.chunks), 0, None)

    @cached_property
    def tables(self) -> ResultTables:
        return ResultTables(self.objects, self.record, self.pieces, None)


async def side_of(jobs: JobService, caller: Principal, job_id: str) -> JobSide:
    """A job of the caller. Raises ResultsNotReadyError unless it has succeeded, or as `own_job`."""
    record, chunks, inline = await own_results(jobs, caller, job_id, partial=False)
    return _side(jobs, record, chunks, inline)


async def stored_side(jobs: JobService, job_id: str) -> JobSide:
    """A job of any owner, for a caller that was permitted to read it. Raises as `side_of`."""
    return _side(jobs, *await jobs.ledger.read_ended(job_id))


def _side(jobs: JobService, record: JobRecord, chunks: list[ChunkRecord], inline: Inline) -> JobSide:
    if record.state is not JobState.SUCCEEDED:
        raise ResultsNotReadyError(
            f"Job {record.id} is {record.state}: only jobs that have succeeded can be compared.",
            retry_after_s=None if record.state.ended else POLL_AFTER_S,
        )
    return JobSide(record, chunks, JobObjects(jobs.payloads, record.id, inline))


class JobDifference:
    """The difference of two jobs that have succeeded. Iterating compares them, and yields a table of the
    differing rows for each chunk that has any; `counts` are complete after that.

    Raises InvalidInputError if the jobs have different numbers of rows, ResultLostError, PayloadLostError,
    PayloadStoreAwayError.
    """

    def __init__(self, a: JobSide, b: JobSide, tolerance: float) -> None:
        if a.record.rows_total != b.record.rows_total:
            raise InvalidInputError(
                f"The jobs have {a.record.rows_total} and {b.record.rows_total} rows: only jobs with the "
                "same rows can be compared."
            )
        self._a, self._b = a, b
        self.counts = Difference(tolerance)

    @property
    def same_rows(self) -> bool | None:
        """Whether both jobs have the same rows, by their digests; None: unknown, because they were stored in
        different chunks or by an older Takt."""
        sides = (self._a.chunks, self._b.chunks)
        rows = [[chunk.rows for chunk in chunks] for chunks in sides]
        digests = [[chunk.rows_digest for chunk in chunks] for chunks in sides]
        if rows[0] != rows[1] or "" in (*digests[0], *digests[1]):
            return None
        return digests[0] == digests[1]

    def compare(self) -> Difference:
        """Compare all rows. → the counts"""
        for _ in self._compared():
            pass
        return self.counts

    def __iter__(self) -> Iterator[pa.Table]:
        for piece, a, b, differs in self._compared():
            if differs.true_count:
                yield self._differing(piece, a.filter(differs), b.filter(differs), differs)

    @cached_property
    def schema(self) -> pa.Schema:
        first = self._a.pieces[0]
        a, b = (side.tables.schema.empty_table() for side in (self._a, self._b))
        none = pa.array([False] * first.chunk.rows)
        return self._differing(first, a, b, none).schema

    def _compared(self) -> Iterator[tuple[Piece, pa.Table, pa.Table, pa.BooleanArray]]:
        a, b = self._a.tables, self._b.tables
        following = _Cut(iter(b))
        for piece, mine in zip(self._a.pieces, a, strict=True):
            theirs = following.take(mine.num_rows)
            differs = self.counts.add(_outputs(a, mine), _outputs(b, theirs))
            yield piece, mine, theirs, pa.array(differs)

    def _differing(self, piece: Piece, a: pa.Table, b: pa.Table, differs: pa.BooleanArray) -> pa.Table:
        """Row number, kept columns and inputs, and both results side by side."""
        stored = self._a.objects.rows_table(piece.chunk).filter(differs)
        names = [name for name in stored.column_names if name != ERROR and not name.startswith(KEEP)]
        kept = self._a.tables.kept_names
        outputs_a, outputs_b = _outputs(self._a.tables, a), _outputs(self._b.tables, b)
        columns = {ROW: a[ROW]} | {name: a[name] for name in kept}
        results: dict[str, pa.ChunkedArray] = {}
        for name in dict.fromkeys([*outputs_a.column_names[:-1], *outputs_b.column_names[:-1], ERROR]):
            results |= {name + A: outputs_a[name]} if name in outputs_a.column_names else {}
            results |= {name + B: outputs_b[name]} if name in outputs_b.column_names else {}
        plain = named_apart(list(map(plain_input_name, names)), [*columns, *results])
        columns |= {name: stored[own] for name, own in zip(plain, names, strict=True)}
        return pa.table(columns | results)


def _outputs(tables: ResultTables, table: pa.Table) -> pa.Table:
    return table.drop_columns([ROW, *tables.kept_names])


class _Cut:
    """Cuts following tables to the requested numbers of rows."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._rest: pa.Table | None = None

    def take(self, rows: int) -> pa.Table:
        parts = []
        while rows:
            table = self._rest if self._rest is not None else next(self._tables)
            part = table.slice(0, rows)
            rows -= part.num_rows
            parts.append(part)
            self._rest = table.slice(part.num_rows) if part.num_rows < table.num_rows else None
        return parts[0] if len(parts) == 1 else pa.concat_tables(parts)
