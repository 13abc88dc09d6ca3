"""`AsyncLedger`: the ledger for asyncio, as the gateway uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import redis
import redis.asyncio
from redis.commands.core import AsyncScript

from shared import keys
from shared.dead_letters import AsyncDeadLetters
from shared.doorbells import Ring
from shared.durability import SYNC_OPTIONS, Durability, require_durable
from shared.errors import RecordUnreadable
from shared.keys import ModelKey
from shared.ledger import chunk_transitions, job_transitions
from shared.ledger.lua import Transition, source
from shared.ledger.records import (
    ChunkRecord,
    Inline,
    JobEvent,
    JobHead,
    JobRecord,
    JobState,
    NewJob,
    QueueOrder,
    Recomputed,
    Reservation,
    Submitted,
    WebhookAttempt,
    check_job_id,
    new_token,
)
from shared.ledger.serialization import (
    HEAD_FIELDS,
    chunks_from_hash,
    inline_from_hash,
    job_event,
    job_from_hash,
    job_head,
    unreadable_job,
    webhook_attempt,
)

T = TypeVar("T")

_IN_MEMORY = Durability()
MOST_RINGS = 8
"""Doorbells that one submission rings at most; commits and the reconciler ring the rest."""


class AsyncLedger:
    """The ledger for asyncio. Methods raise redis.exceptions.RedisError where the server does not answer."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        ring: Ring,
        *,
        lease_s: float = 30.0,
        durability: Durability = _IN_MEMORY,
    ) -> None:
        self._client = client
        self._dead_letters = AsyncDeadLetters(client)
        self._ring = ring
        self._lease_ms = round(lease_s * 1000)
        self._durability = durability
        self._scripts: dict[str, AsyncScript] = {}

    async def open_job(self, job: NewJob) -> None:
        """Record a job before its rows are read; its upload is held by this gateway's lease."""
        await self._run(job_transitions.open_job(job, token=new_token(), lease_ms=self._lease_ms))

    async def append_chunks(
        self,
        job_id: str,
        key: ModelKey,
        rows: Sequence[int],
        *,
        sha256s: Sequence[str] = (),
        first: int | None = None,
    ) -> int:
        """Chunks of so many rows each, already stored, become ready. → index of the first.

        `sha256s`: of their rows as they were stored, which whoever reads them checks; none: nobody does.

        Renews the upload's lease, also with no chunk at all: call it more often than every `lease_s`.
        Raises JobNotFound where the job takes no more, and QueueUnavailable where the server has not kept
        all that was appended before `first`.
        """
        first_index = await self._run(
            job_transitions.append_chunks(job_id, rows, sha256s=sha256s, first=first, lease_ms=self._lease_ms)
        )
        self._ring_for(key, len(rows))
        return first_index

    async def submit(
        self,
        job: NewJob,
        rows: int,
        data: bytes,
        *,
        rows_sha256: str = "",
        digest: str = "",
        keep_s: float = 0.0,
        short: int = 0,
    ) -> Submitted | Reservation:
        """A whole job of one chunk, whose rows are `data`, of that digest, and lie in the ledger.

        Its Idempotency-Key, if it has one, stands for a body of this digest from then on; where it is another
        job's there is no new one. → the job, and the line that it stands in, where that has no more than
        `short` jobs; or whose the key is
        """
        keep_ms = round(keep_s * 1000)
        made = await self._run(
            job_transitions.submit(
                job, rows, data, rows_sha256=rows_sha256, digest=digest, keep_ms=keep_ms, short=short
            )
        )
        if isinstance(made, Submitted):
            self._ring_for(job.key, 1)
        return made

    async def seal(self, job_id: str, *, chunks: int | None = None) -> JobRecord:
        """The upload is whole. Raises JobNotFound where it was not going on, and QueueUnavailable where the
        server has not kept so many chunks."""
        await self._run(job_transitions.seal(job_id, chunks))
        return await self.read(job_id)

    async def fill(
        self, job_id: str, key: ModelKey, rows: Sequence[int], *, first: int, sha256s: Sequence[str] = ()
    ) -> JobRecord:
        """The last chunks become ready, and the upload is whole: `append_chunks` and `seal` in one.

        Raises what they raise.
        """
        filled = await self._run(
            job_transitions.fill(job_id, rows, sha256s=sha256s, first=first, lease_ms=self._lease_ms)
        )
        self._ring_for(key, len(rows))
        return filled

    async def make_durable(self, job_id: str) -> None:
        """Return once all that was written of a job is as durable as this deployment promises.

        A write and the wait for it, on one connection: all that any connection wrote before stands before
        that write, in the append-only file and on the way to a replica.
        Raises NotDurable where the time was over, QueueUnavailable where the server forgot the job, and
        UnsupportedServer where it cannot keep the promise.
        """
        if self._durability.command is None:
            return
        fence = job_transitions.fence(job_id)
        pipeline = self._client.pipeline(transaction=False)
        await self._script(fence.script)(args=fence.arguments, client=pipeline)
        pipeline.execute_command(*self._durability.command)
        if self._durability.asks:
            pipeline.config_get(*SYNC_OPTIONS)
        known, *answers = await pipeline.execute(raise_on_error=False)
        require_durable(job_id, known, answers[0], self._durability, *answers[1:])

    async def cancel(self, job_id: str) -> JobState:
        """No chunk starts any more; it is `canceling` until none runs. Raises JobNotFound."""
        return await self._run(job_transitions.cancel(job_id))

    async def pause(self, job_id: str) -> JobState:
        """No chunk starts until `resume`. → the state: another than `paused` where it cannot pause."""
        return await self._run(job_transitions.pause(job_id))

    async def resume(self, job_id: str, key: ModelKey) -> JobState:
        """Go on. → the state; a job that was not paused stays as it is."""
        resumed = await self._run(job_transitions.resume(job_id))
        self._ring_for(key, resumed.ready)
        return resumed.state

    async def prioritize(self, job_id: str, priority: int) -> JobState:
        """Another weight, 0–9, from the next claim on."""
        return await self._run(job_transitions.prioritize(job_id, priority))

    async def delete(self, job_id: str) -> bool:
        """Forget a job that has ended; its rows and results are the caller's to remove. → whether it had."""
        return await self._run(job_transitions.delete(job_id))

    async def reserve(self, name: str, job_id: str) -> Reservation | None:
        """Lease an idempotency key while a body is read. → None: it is this job's; else whose it is."""
        return await self._run(job_transitions.reserve(name, job_id, lease_ms=self._lease_ms))

    async def unreserve(self, name: str, job_id: str) -> bool:
        """Free an idempotency key whose job never came to be. → whether it was this job's"""
        return await self._run(job_transitions.unreserve(name, job_id))

    async def bind(self, name: str, job_id: str, digest: str, *, keep_s: float) -> bool:
        """Let an idempotency key stand for a whole body. → whether it was still this job's."""
        return await self._run(job_transitions.bind(name, job_id, digest, keep_ms=round(keep_s * 1000)))

    async def fail_job(self, job_id: str, code: str, detail: str) -> bool:
        """End a job early. → whether this did; one that is being canceled ends as canceled."""
        return await self._run(job_transitions.fail_job(job_id, code, detail))

    async def recompute(self, job_id: str, index: int, token: str, reason: str) -> Recomputed:
        """Compute a chunk again, because its stored result with this token is lost or damaged."""
        return await self._run(chunk_transitions.recompute(job_id, index, token, reason))

    async def read(self, job_id: str) -> JobRecord:
        """Raises JobNotFound, JobExpired where its retention is over, and RecordUnreadable."""
        check_job_id(job_id)
        fields: Any = await self._client.hgetall(keys.job(job_id))
        return await self._record(job_id, fields)

    async def read_ended(
        self, job_id: str, *, partial: bool = False
    ) -> tuple[JobRecord, list[ChunkRecord], Inline]:
        """A job, and once it has succeeded, or as they are now where `partial`, its chunks and what of it
        lies in the ledger; in one round trip.

        Raises what `read` raises.
        """
        check_job_id(job_id)
        fields, chunks, inline = await self._run(job_transitions.read(job_id, chunks=partial))
        return await self._record(job_id, fields), chunks_from_hash(chunks), inline

    async def _record(self, job_id: str, fields: Any) -> JobRecord:
        try:
            return job_from_hash(job_id, fields)
        except RecordUnreadable as error:
            await self._dead_letters.set_aside(unreadable_job(job_id, fields, error))
            raise

    async def newest(self, owner: str | None, *, before_ms: int | None, most: int) -> list[JobRecord]:
        """Jobs by their creation, newest first: of one owner, or of all; those created before a time."""
        return await self.read_all(await self._newest_ids(owner, before_ms, most, None))

    async def newest_heads(
        self, owner: str | None, *, before_ms: int | None, most: int, after_id: str | None = None
    ) -> list[JobHead]:
        """The same in short, to look through many.

        Where `after_id` is still known, those that come after it instead: none of its own ms is left out.
        """
        ids = await self._newest_ids(owner, before_ms, most, after_id)
        pipeline = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipeline.hmget(keys.job(job_id), HEAD_FIELDS)
        found = zip(ids, await pipeline.execute(), strict=True)
        return await self._readable(job_head, (pair for pair in found if None not in pair[1]))

    async def read_all(self, job_ids: Sequence[str]) -> list[JobRecord]:
        """The records of jobs in this order; those that are gone, or cannot be read, are left out."""
        pipeline = self._client.pipeline(transaction=False)
        for job_id in job_ids:
            pipeline.hgetall(keys.job(job_id))
        found = zip(job_ids, await pipeline.execute(), strict=True)
        return await self._readable(job_from_hash, (pair for pair in found if b"created_at_ms" in pair[1]))

    async def _readable(
        self, record_of: Callable[[str, Any], T], found: Iterable[tuple[str, Any]]
    ) -> list[T]:
        records: list[T] = []
        for job_id, fields in found:
            try:
                records.append(record_of(job_id, fields))
            except RecordUnreadable as error:
                await self._dead_letters.set_aside(unreadable_job(job_id, fields, error))
        return records

    async def chunks(self, job_id: str) -> list[ChunkRecord]:
        """The job's chunks in the order of their rows."""
        return chunks_from_hash(await self._client.hgetall(keys.job_chunks(job_id)))

    async def inline(self, job_id: str) -> Inline:
        """What of a job lies in the ledger."""
        return inline_from_hash(await self._client.hgetall(keys.job_inline(job_id)))

    async def line(self, key: ModelKey, *, most: int) -> QueueOrder:
        """The jobs that take part in the fair order of a model version, at most so many.

        Of a longer line the first jobs of each owner.
        """
        return await self._run(chunk_transitions.line(key, most=most))

    async def newest_event(self, job_id: str, *, after: str = "") -> JobEvent | None:
        """The last thing that a job's stream tells, where that is after an event's id; else None."""
        beyond = f"({after}" if after else "-"
        entries: Any = await self._client.xrevrange(keys.job_events(job_id), "+", beyond, count=1)
        return job_event(*entries[0]) if entries else None

    async def webhook_attempts(self, *job_ids: str) -> dict[str, list[WebhookAttempt]]:
        """What was tried to deliver the webhooks of jobs, by job, oldest first."""
        pipeline = self._client.pipeline(transaction=False)
        for job_id in job_ids:
            pipeline.xrange(keys.job_webhook(job_id))
        found = zip(job_ids, await pipeline.execute(), strict=True)
        return {job_id: [webhook_attempt(*entry) for entry in entries] for job_id, entries in found}

    def _ring_for(self, key: ModelKey, chunks: int) -> None:
        if chunks:
            self._ring(key, min(chunks, MOST_RINGS))

    async def _newest_ids(
        self, owner: str | None, before_ms: int | None, most: int, after_id: str | None
    ) -> list[str]:
        index = keys.jobs() if owner is None else keys.owner_jobs(owner)
        rank = None if after_id is None else await self._client.zrevrank(index, after_id)
        ids: Any
        if isinstance(rank, int):
            ids = await self._client.zrange(index, rank + 1, rank + most, desc=True)
        else:
            below = "+inf" if before_ms is None else f"({before_ms}"
            ids = await self._client.zrange(index, below, "-inf", desc=True, byscore=True, offset=0, num=most)
        return [job_id.decode() for job_id in ids]

    async def _run(self, transition: Transition[T]) -> T:
        return transition.decode(await self._script(transition.script)(args=transition.arguments))

    def _script(self, name: str) -> AsyncScript:
        if name not in self._scripts:  # registering takes the digest of its text
            self._scripts[name] = self._client.register_script(source(name))
        return self._scripts[name]
