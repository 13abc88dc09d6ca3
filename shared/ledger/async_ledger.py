"""`AsyncLedger`: the ledger for asyncio, used by the gateway.

It sends doorbells after transitions that made chunks ready. Sending needs Celery, so the function is passed
in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import redis
import redis.asyncio
from redis.commands.core import AsyncScript

from shared import keys
from shared.dead_letters import AsyncDeadLetters
from shared.doorbells import Notify
from shared.durability import SYNC_OPTIONS, Durability, require_durable
from shared.errors import RecordUnreadableError
from shared.keys import ModelKey
from shared.ledger import chunk_transitions, job_transitions
from shared.ledger.lua_scripts import Transition, source
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
MOST_DOORBELLS = 8
"""Limit of the doorbells per submission; commits and the reconciler send the rest."""


class AsyncLedger:
    """The ledger for asyncio. Methods raise redis.exceptions.RedisError if the server does not answer."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        notify: Notify,
        *,
        lease_s: float = 30.0,
        durability: Durability = _IN_MEMORY,
    ) -> None:
        self._client = client
        self._dead_letters = AsyncDeadLetters(client)
        self._notify = notify
        self._lease_ms = round(lease_s * 1000)
        self._durability = durability
        self._scripts: dict[str, AsyncScript] = {}

    async def open_job(self, job: NewJob) -> None:
        """Record a job before its rows are read. This gateway's lease protects the upload."""
        await self._run(job_transitions.open_job(job, token=new_token(), lease_ms=self._lease_ms))

    async def append_chunks(
        self,
        job_id: str,
        key: ModelKey,
        rows: Sequence[int],
        *,
        digests: Sequence[str] = (),
        first: int | None = None,
    ) -> int:
        """Make chunks with stored rows ready. → index of the first chunk.

        `rows`: the number of rows per chunk. `digests`: the digests of the stored rows, which every reader
        checks; without them, nothing is checked.

        Renews the upload's lease, even without chunks: call it more often than every `lease_s`.
        Raises JobNotFound if the job accepts no more chunks, and QueueUnavailable if the server has lost
        chunks that were appended before `first`.
        """
        first_index = await self._run(
            job_transitions.append_chunks(job_id, rows, digests=digests, first=first, lease_ms=self._lease_ms)
        )
        self._ring_for(key, len(rows))
        return first_index

    async def submit(
        self,
        job: NewJob,
        rows: int,
        data: bytes,
        *,
        rows_digest: str = "",
        digest: str = "",
        keep_s: float = 0.0,
        short: int = 0,
    ) -> Submitted | Reservation:
        """Record a complete job of a single chunk, with its rows `data` kept in the ledger.

        `rows_digest`: digest of `data`. `digest`: digest of the body, recorded for the Idempotency-Key for
        `keep_s`. `short`: the longest queue that is returned.
        → the job, and its queue if that has at most `short` jobs. If the Idempotency-Key belongs to another
        job, no job is recorded; → that reservation.
        """
        keep_ms = round(keep_s * 1000)
        made = await self._run(
            job_transitions.submit(
                job, rows, data, rows_digest=rows_digest, digest=digest, keep_ms=keep_ms, short=short
            )
        )
        if isinstance(made, Submitted):
            self._ring_for(job.key, 1)
        return made

    async def seal(self, job_id: str, *, chunks: int | None = None) -> JobRecord:
        """Complete the upload. Raises JobNotFound if the job is not uploading, and QueueUnavailable if the
        server does not have `chunks` chunks."""
        await self._run(job_transitions.seal(job_id, chunks))
        return await self.read(job_id)

    async def fill(
        self, job_id: str, key: ModelKey, rows: Sequence[int], *, first: int, digests: Sequence[str] = ()
    ) -> JobRecord:
        """Append the last chunks and complete the upload: `append_chunks` and `seal` together.

        Raises the errors of both.
        """
        filled = await self._run(
            job_transitions.fill(job_id, rows, digests=digests, first=first, lease_ms=self._lease_ms)
        )
        self._ring_for(key, len(rows))
        return filled

    async def make_durable(self, job_id: str) -> None:
        """Wait until all writes of a job have the durability that this deployment promises.

        Sends a write, and a wait for it, on the same connection. All earlier writes of any connection precede
        that write in the append-only file and on the way to a replica. Raises NotDurable on a timeout,
        QueueUnavailable if the server has lost the job, and UnsupportedServer if the server cannot keep the
        promise.
        """
        if self._durability.command is None:
            return
        barrier = job_transitions.durability_barrier(job_id)
        pipeline = self._client.pipeline(transaction=False)
        await self._script(barrier.script)(args=barrier.arguments, client=pipeline)
        pipeline.execute_command(*self._durability.command)
        if self._durability.asks:
            pipeline.config_get(*SYNC_OPTIONS)
        known, *answers = await pipeline.execute(raise_on_error=False)
        require_durable(job_id, known, answers[0], self._durability, *answers[1:])

    async def cancel(self, job_id: str, *, by: str = "") -> JobState:
        """Start no more chunks; the state is `canceling` until no chunk runs. Raises JobNotFound.

        `by`, here and below: the name of the caller, for the timeline.
        """
        return await self._run(job_transitions.cancel(job_id, by))

    async def pause(self, job_id: str, *, by: str = "") -> JobState:
        """Start no chunk until `resume`. → the state; not `paused` if the job cannot be paused."""
        return await self._run(job_transitions.pause(job_id, by))

    async def resume(self, job_id: str, key: ModelKey, *, by: str = "") -> JobState:
        """Continue a paused job. → the state; other jobs are unchanged."""
        resumed = await self._run(job_transitions.resume(job_id, by))
        self._ring_for(key, resumed.ready)
        return resumed.state

    async def prioritize(self, job_id: str, priority: int, *, by: str = "") -> JobState:
        """Set the weight, 0–9, from the next claim on."""
        return await self._run(job_transitions.prioritize(job_id, priority, by))

    async def delete(self, job_id: str) -> bool:
        """Remove the record of an ended job; the caller removes rows and results. → whether it had ended."""
        return await self._run(job_transitions.delete(job_id))

    async def reserve(self, name: str, job_id: str) -> Reservation | None:
        """Lease an Idempotency-Key while a body is read. → None: leased to this job; else its holder."""
        return await self._run(job_transitions.reserve(name, job_id, lease_ms=self._lease_ms))

    async def unreserve(self, name: str, job_id: str) -> bool:
        """Free the Idempotency-Key of a job that was never recorded. → whether this job held it"""
        return await self._run(job_transitions.unreserve(name, job_id))

    async def bind(self, name: str, job_id: str, digest: str, *, keep_s: float) -> bool:
        """Record the digest of a complete body for an Idempotency-Key. → whether this job still held it"""
        return await self._run(job_transitions.bind(name, job_id, digest, keep_ms=round(keep_s * 1000)))

    async def fail_job(self, job_id: str, code: str, detail: str) -> bool:
        """End a job early. → whether this call ended it; a job in `canceling` ends as canceled."""
        return await self._run(job_transitions.fail_job(job_id, code, detail))

    async def recompute(self, job_id: str, index: int, token: str, reason: str) -> Recomputed:
        """Compute a chunk again because its stored result with this token is lost or damaged."""
        return await self._run(chunk_transitions.recompute(job_id, index, token, reason))

    async def read(self, job_id: str) -> JobRecord:
        """Raises JobNotFound, JobExpired if the job's retention is over, and RecordUnreadableError."""
        check_job_id(job_id)
        fields: Any = await self._client.hgetall(keys.job(job_id))
        return await self._record(job_id, fields)

    async def read_ended(
        self, job_id: str, *, partial: bool = False
    ) -> tuple[JobRecord, list[ChunkRecord], Inline]:
        """A job with its chunks and its inline objects, in a single round trip.

        Chunks and inline objects are empty unless the job has succeeded or `partial` is set.
        Raises the errors of `read`.
        """
        check_job_id(job_id)
        fields, chunks, inline = await self._run(job_transitions.read(job_id, chunks=partial))
        return await self._record(job_id, fields), chunks_from_hash(chunks), inline

    async def _record(self, job_id: str, fields: Any) -> JobRecord:
        try:
            return job_from_hash(job_id, fields)
        except RecordUnreadableError as error:
            await self._dead_letters.set_aside(unreadable_job(job_id, fields, error))
            raise

    async def newest(self, owner: str | None, *, before_ms: int | None, most: int) -> list[JobRecord]:
        """Jobs of an owner, or of all, created before a time if it is given; the newest first."""
        return await self.read_all(await self._newest_ids(owner, before_ms, most, None))

    async def newest_heads(
        self, owner: str | None, *, before_ms: int | None, most: int, after_id: str | None = None
    ) -> list[JobHead]:
        """Like `newest`, with few fields per job, for searching through many jobs.

        If `after_id` is known, the jobs after it instead, so that none of the same millisecond is left out.
        """
        ids = await self._newest_ids(owner, before_ms, most, after_id)
        pipeline = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipeline.hmget(keys.job(job_id), HEAD_FIELDS)
        found = zip(ids, await pipeline.execute(), strict=True)
        return await self._readable(job_head, (pair for pair in found if None not in pair[1]))

    async def read_all(self, job_ids: Sequence[str]) -> list[JobRecord]:
        """The records of jobs in this order; missing and unreadable jobs are left out."""
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
            except RecordUnreadableError as error:
                await self._dead_letters.set_aside(unreadable_job(job_id, fields, error))
        return records

    async def age_s(self) -> float:
        """Age of this ledger since it was first seen; 0 if no worker has seen it yet."""
        seconds, micros = await self._client.time()
        born = await self._client.get(keys.born())
        return 0.0 if born is None else (seconds * 1000 + micros / 1000 - int(born)) / 1000

    async def unknown(self, job_ids: Sequence[str]) -> list[str]:
        """The ids that belong neither to a job nor to an expired job with data that is still to be
        removed."""
        pipeline = self._client.pipeline(transaction=False)
        for job_id in job_ids:
            pipeline.hexists(keys.job(job_id), "created_at_ms")
            pipeline.zscore(keys.expiring(), job_id)
        answers = await pipeline.execute()
        found = zip(job_ids, answers[::2], answers[1::2], strict=True)
        return [job_id for job_id, is_job, score in found if not is_job and score is None]

    async def chunks(self, job_id: str) -> list[ChunkRecord]:
        """The job's chunks in the order of their rows."""
        return chunks_from_hash(await self._client.hgetall(keys.job_chunks(job_id)))

    async def inline(self, job_id: str) -> Inline:
        """The rows and the result of a small job, which the ledger keeps."""
        return inline_from_hash(await self._client.hgetall(keys.job_inline(job_id)))

    async def line(self, key: ModelKey, *, most: int) -> QueueOrder:
        """The jobs in the fair order of a model version, at most `most`.

        If the queue is longer, the first jobs of each owner.
        """
        return await self._run(chunk_transitions.line(key, most=most))

    async def newest_event(self, job_id: str, *, after: str = "") -> JobEvent | None:
        """The last event of a job's stream, if it is newer than the event id `after`; else None."""
        beyond = f"({after}" if after else "-"
        entries: Any = await self._client.xrevrange(keys.job_events(job_id), "+", beyond, count=1)
        return job_event(*entries[0]) if entries else None

    async def webhook_attempts(self, *job_ids: str) -> dict[str, list[WebhookAttempt]]:
        """The attempts to deliver the webhooks of jobs, by job, the oldest first."""
        pipeline = self._client.pipeline(transaction=False)
        for job_id in job_ids:
            pipeline.xrange(keys.job_webhook(job_id))
        found = zip(job_ids, await pipeline.execute(), strict=True)
        return {job_id: [webhook_attempt(*entry) for entry in entries] for job_id, entries in found}

    def _ring_for(self, key: ModelKey, chunks: int) -> None:
        if chunks:
            self._notify(key, min(chunks, MOST_DOORBELLS))

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
        if name not in self._scripts:  # registering computes the digest of its text
            self._scripts[name] = self._client.register_script(source(name))
        return self._scripts[name]
