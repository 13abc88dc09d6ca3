"""Selection of the rows and chunks of a results response. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from shared.ledger import ChunkRecord, ChunkState, JobRecord

ENDED = (ChunkState.DONE, ChunkState.FAILED)


@dataclass(frozen=True)
class Piece:
    """The rows, or the failed rows, of a chunk that has ended, from `start` to `stop`."""

    chunk: ChunkRecord
    start: int
    stop: int
    first_row: int
    """The index in the job of the chunk's first row."""


def readable(record: JobRecord, chunks: Sequence[ChunkRecord]) -> Sequence[ChunkRecord]:
    """Returns the chunks with stored rows and results; none if the job's upload failed."""
    return () if record.abandoned else chunks


def pieces_of(chunks: Sequence[ChunkRecord], offset: int, limit: int | None) -> list[Piece]:
    """Returns the pieces with the rows from `offset`, at most `limit` of the job's rows (None: all).

    Rows of chunks that have not ended are left out but counted, so that pages do not change.
    """
    found = _cut(chunks, lambda chunk: chunk.rows, offset, limit)
    return [piece for piece in found if piece.chunk.state in ENDED]


def stored_pieces_of(chunks: Sequence[ChunkRecord], offset: int, limit: int | None) -> list[Piece]:
    """Returns the pieces with the stored rows from `offset`, whether or not they have run."""
    return list(_cut(chunks, lambda chunk: chunk.rows, offset, limit))


def failed_pieces_of(chunks: Sequence[ChunkRecord], offset: int, limit: int | None) -> list[Piece]:
    """Returns the pieces with the failed rows from `offset`, counted among the current failed rows."""
    return list(_cut(chunks, failed_rows, offset, limit))


def failed_rows(chunk: ChunkRecord) -> int:
    """Returns the number of a chunk's failed rows; all rows if the chunk failed."""
    match chunk.state:
        case ChunkState.FAILED:
            return chunk.rows
        case ChunkState.DONE:
            return chunk.failed
        case _:
            return 0


def _cut(
    chunks: Sequence[ChunkRecord], count: Callable[[ChunkRecord], int], offset: int, limit: int | None
) -> Iterator[Piece]:
    end = sum(map(count, chunks)) if limit is None else offset + limit
    counted = first_row = 0
    for chunk in chunks:
        there = count(chunk)
        start, stop = max(offset, counted), min(end, counted + there)
        if start < stop:
            yield Piece(chunk, start - counted, stop - counted, first_row)
        counted += there
        first_row += chunk.rows
