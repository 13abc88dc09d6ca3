"""Chunks of rows: record batches are collected up to a limit, and larger batches are split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from shared.arrow_tables import Compression, numbered, write_ipc
from shared.integrity import object_digest

CHUNK_S = 0.2
"""Target run time of a chunk: short, so that a dying worker loses little; long enough to repay its I/O."""


@dataclass(frozen=True)
class Chunk:
    """A slice of a job's rows as stored: an Arrow IPC stream and its digest."""

    rows: int
    data: bytes
    digest: str


def _chunk(rows: int, data: bytes) -> Chunk:
    return Chunk(rows, data, object_digest(data))


def chunk_rows(rows_per_s: float, *, least: int, most: int) -> int:
    """Returns the rows of about `CHUNK_S` of work, at least `least`; `most` if the rate is unknown (0)."""
    return min(most, max(least, round(rows_per_s * CHUNK_S))) if rows_per_s else most


def whole(batch: pa.RecordBatch) -> Chunk:
    """Returns the only chunk of a small job."""
    return _chunk(batch.num_rows, write_ipc([batch], numbered(batch.schema, 0)))


class Cutter:
    """Collects batches with the same schema until a chunk is full."""

    def __init__(self, *, chunk_rows: int, chunk_bytes: int, compression: Compression = None) -> None:
        self._chunk_rows = chunk_rows
        self._chunk_bytes = chunk_bytes
        self._compression = compression
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0
        self._first_row = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[Chunk]:
        """Add a batch; yields the chunks that are full. The byte limit is approximate."""
        while batch.num_rows:
            taken = batch.slice(0, min(batch.num_rows, self._room(batch)))
            self._take(taken)
            batch = batch.slice(taken.num_rows)
            if self._rows >= self._chunk_rows or self._bytes >= self._chunk_bytes:
                yield self._cut()

    def rest(self) -> Iterator[Chunk]:
        """Yields the last chunk, if rows are left."""
        if self._waiting:
            yield self._cut()

    def _room(self, batch: pa.RecordBatch) -> int:
        """Returns the number of rows that the chunk still accepts, at least 1."""
        row_bytes = max(1.0, batch.nbytes / batch.num_rows)
        by_bytes = int((self._chunk_bytes - self._bytes) / row_bytes)
        return max(1, min(self._chunk_rows - self._rows, by_bytes))

    def _take(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes

    def _cut(self) -> Chunk:
        schema = numbered(self._waiting[0].schema, self._first_row)
        data = write_ipc(self._waiting, schema, self._compression)
        chunk = _chunk(self._rows, data)
        self._first_row += self._rows
        self._waiting, self._rows, self._bytes = [], 0, 0
        return chunk
