"""Which rows of which chunks an answer is made of. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from shared.ledger import ChunkRecord, ChunkState, JobRecord

ENDED = (ChunkState.DONE, ChunkState.FAILED)


@dataclass(frozen=True)
class Piece:
    """Some rows of one chunk that has ended, or some of its failed rows: those from `start` to `stop`."""

    chunk: ChunkRecord
    start: int
    stop: int
    first_row: int
    """Which row of the job the chunk begins with."""


def readable(record: JobRecord, chunks: Sequence[ChunkRecord]) -> Sequence[ChunkRecord]:
    """The chunks whose rows and results are kept: none of a job whose upload failed."""
    return () if record.abandoned else chunks


def pieces_of(chunks: Sequence[ChunkRecord], offset: int, limit: int | None) -> list[Piece]:
    """The pieces that hold the rows from `offset` on, at most `limit` of the job's rows (None: all).

    Rows of chunks that have not ended are left out; they count nevertheless, so that pages stay the same.
    """
    found = _cut(chunks, lambda chunk: chunk.rows, offset, limit)
    return [piece for piece in found if piece.chunk.state in ENDED]


def failed_pieces_of(chunks: Sequence[ChunkRecord], offset: int, limit: int | None) -> list[Piece]:
    """The pieces that hold failed rows: of all that there are now, those from `offset` on."""
    return list(_cut(chunks, failed_rows, offset, limit))


def failed_rows(chunk: ChunkRecord) -> int:
    """Rows of a chunk that are known to have failed; all of them where it was given up."""
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
