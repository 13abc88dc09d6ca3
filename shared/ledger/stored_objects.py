"""Stored objects with a recorded digest: a walk over all jobs, the oldest first. It only reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import redis

from shared import keys
from shared.errors import JobExpiredError, JobNotFoundError, RecordUnreadableError
from shared.ledger.records import (
    NOTHING_INLINE,
    ChunkRecord,
    ChunkState,
    Inline,
)
from shared.ledger.serialization import chunks_from_hash, inline_from_hash, job_from_hash
from shared.payloads import result_path, rows_path

_JOBS_AT_ONCE = 1000
_KINDS = ("rows", "result")


class WalkPosition(msgspec.Struct, frozen=True, order=True):
    """The position of a walk: jobs in the order of creation, and of ids within a ms."""

    created_at_ms: int
    job_id: str


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """The rows or the result of a finished chunk."""

    job_id: str
    chunk: ChunkRecord
    kind: str  # `rows` or `result`
    inline: bytes = b""  # the object itself, if it lies in the ledger

    @property
    def path(self) -> str:
        if self.kind == "rows":
            return rows_path(self.job_id, self.chunk.index)
        return result_path(self.job_id, self.chunk.index, self.chunk.token)

    @property
    def digest(self) -> str:
        return self.chunk.rows_digest if self.kind == "rows" else self.chunk.result_digest

    def __str__(self) -> str:
        return f"{self.kind} of chunk {self.chunk.index} of job {self.job_id}"


def next_place(client: redis.Redis, after: WalkPosition | None) -> WalkPosition | None:
    """The position of the next job; None after the last."""
    least = after.created_at_ms if after else "-inf"
    found: Any = client.zrange(
        keys.jobs(), least, "+inf", byscore=True, offset=0, num=_JOBS_AT_ONCE, withscores=True
    )
    places = (WalkPosition(int(score), job_id.decode()) for job_id, score in found)
    return next((place for place in places if after is None or place > after), None)


def stored_objects(client: redis.Redis, job_id: str) -> Iterator[StoredObject]:
    """The kept objects of a job that were stored with a digest.

    Empty for an unreadable job: reading its results reports that.
    """
    chunks, inline = _read(client, job_id)
    for chunk in chunks:
        if chunk.state is not ChunkState.DONE:
            continue
        for kind in _KINDS:
            data = inline.rows if kind == "rows" else inline.result
            found = StoredObject(job_id=job_id, chunk=chunk, kind=kind, inline=data)
            if found.digest:
                yield found


def is_current(client: redis.Redis, found: StoredObject) -> bool:
    """Whether the ledger still has the object: its job may have been removed, or its chunk run again."""
    chunks, _ = _read(client, found.job_id)
    return any(
        (chunk.index, chunk.token, chunk.state) == (found.chunk.index, found.chunk.token, ChunkState.DONE)
        for chunk in chunks
    )


def _read(client: redis.Redis, job_id: str) -> tuple[Sequence[ChunkRecord], Inline]:
    with client.pipeline(transaction=False) as pipe:
        for name in (keys.job(job_id), keys.job_chunks(job_id), keys.job_inline(job_id)):
            pipe.hgetall(name)
        job, chunks, inline = pipe.execute()
    try:
        is_kept = not job_from_hash(job_id, job).abandoned
        return chunks_from_hash(chunks) if is_kept else (), inline_from_hash(inline)
    except (RecordUnreadableError, JobNotFoundError, JobExpiredError):
        return (), NOTHING_INLINE
