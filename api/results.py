"""A job's results as JSON, chunk by chunk: no more than one chunk is in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from api.answers import encode
from shared.ledger import ChunkRecord, ChunkState
from shared.payloads import PayloadStore, result_path
from shared.specs import Row
from shared.tables import ERROR, read_ipc, rows_of


@dataclass(frozen=True)
class Piece:
    """Some rows of one chunk's result."""

    chunk: ChunkRecord
    start: int
    stop: int


def pieces_of(chunks: Sequence[ChunkRecord], offset: int, limit: int | None) -> list[Piece]:
    """The pieces that hold `limit` rows (None: all) from row `offset` on."""
    pieces: list[Piece] = []
    end = sum(chunk.rows for chunk in chunks) if limit is None else offset + limit
    first = 0
    for chunk in chunks:
        start, stop = max(offset, first), min(end, first + chunk.rows)
        if start < stop:
            pieces.append(Piece(chunk, start - first, stop - first))
        first += chunk.rows
    return pieces


async def results_json(
    store: PayloadStore, job_id: str, pieces: Sequence[Piece], total_count: int
) -> AsyncIterator[bytes]:
    """`{"job_id", "results": […], "total_count"}` in parts. Raises PayloadError where a result is gone."""
    yield b'{"job_id":%s,"results":[' % encode(job_id)
    for number, piece in enumerate(pieces):
        rows = await asyncio.to_thread(_rows_json, store, job_id, piece)
        yield b"," + rows if number else rows
    yield b'],"total_count":%d}' % total_count


def _rows_json(store: PayloadStore, job_id: str, piece: Piece) -> bytes:
    return b",".join(encode(row) for row in _rows(store, job_id, piece))


def _rows(store: PayloadStore, job_id: str, piece: Piece) -> Iterator[Row]:
    chunk = piece.chunk
    if chunk.state is ChunkState.FAILED:
        return ({ERROR: chunk.error} for _ in range(piece.start, piece.stop))
    table = read_ipc(store.get(result_path(job_id, chunk.index, chunk.token)))
    return map(_row, rows_of(table.slice(piece.start, piece.stop - piece.start)))


def _row(row: Row) -> Row:
    """A result's outputs, or why there are none."""
    error = row.pop(ERROR)
    return row if error is None else {ERROR: error}
