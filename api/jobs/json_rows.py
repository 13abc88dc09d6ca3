"""Jobs from rows in a JSON body: all rows are validated before the job exists."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

import structlog
from redis.exceptions import RedisError

from api.access.principal import Principal
from api.fleet.job_queues import SHORT
from api.http.error_answers import is_full
from api.jobs.broken_uploads import BrokenUpload
from api.jobs.idempotency import reservation_name, reserve, same_job, whole
from api.jobs.job_options import JobOptions, pinned_job
from api.jobs.job_service import JobService
from api.jobs.upload import ended_early
from api.jobs.upload_syncing import Syncing
from api.models.catalog import Servable
from shared.errors import JobNotFoundError, QueueUnavailableError, ServiceError, StorageFullError
from shared.ledger import INLINE_BYTES, JobRecord, NewJob, Reservation
from shared.payloads import rows_path
from shared.tabular.chunking import Chunk

log = structlog.get_logger()


async def submit_rows(
    jobs: JobService,
    caller: Principal,
    servable: Servable,
    chunks: Sequence[Chunk],
    options: JobOptions,
    *,
    key: str | None,
    body: bytes,
) -> tuple[JobRecord, bool]:
    """Create a job. → the job, and whether an earlier request with the same Idempotency-Key created it

    Raises IdempotencyConflict, IdempotencyInProgress, RateLimited, TooManyJobs, QueueUnavailableError,
    StorageFullError, PayloadError.
    """
    jobs.queue.require_open()
    reserved = reservation_name(caller.name, key) if key is not None else ""
    new = await pinned_job(jobs, caller, servable, options, reserved)
    digest = hashlib.sha256(body).hexdigest()
    if len(chunks) == 1 and len(chunks[0].data) <= INLINE_BYTES and caller.quota is None:
        return await _submitted(jobs, new, chunks[0], digest)
    await _require_room(jobs, chunks)
    if reserved and (taken := await reserve(jobs.ledger, reserved, new.id)):
        return await same_job(jobs.ledger, taken, digest), True
    try:
        await jobs.limiter.charge(caller.quota, sum(chunk.rows for chunk in chunks))
        await jobs.ledger.open_job(new)
    except ServiceError:
        if reserved:  # else a retry of the client would find its key in progress
            await jobs.ledger.unreserve(reserved, new.id)
        raise
    return await _stored(jobs, new, chunks, digest), False


async def _require_room(jobs: JobService, chunks: Sequence[Chunk]) -> None:
    """Raises StorageFullError before a job exists."""
    size_bytes = sum(len(chunk.data) for chunk in chunks)
    if not await asyncio.to_thread(jobs.payloads.fits, size_bytes):
        raise StorageFullError


async def _submitted(jobs: JobService, new: NewJob, chunk: Chunk, digest: str) -> tuple[JobRecord, bool]:
    """Create a small job with its rows in the ledger, in one round trip; possible if no quota is charged."""
    made = await jobs.ledger.submit(
        new,
        chunk.rows,
        chunk.data,
        rows_digest=chunk.digest,
        digest=digest,
        keep_s=jobs.settings.idempotency_keep_s,
        short=SHORT,
    )
    if isinstance(made, Reservation):
        return await same_job(jobs.ledger, whole(made), digest), True
    if made.line is not None:
        jobs.queue_orders.keep(new.key, made.line)
    log.info("job_submitted", job_id=new.id, key=new.key, rows=chunk.rows, chunks=1)
    return made.record, False


def _code_of(error: ServiceError | RedisError) -> str:
    return error.code if isinstance(error, ServiceError) else QueueUnavailableError.code


async def _stored(jobs: JobService, new: NewJob, chunks: Sequence[Chunk], digest: str) -> JobRecord:
    """Store rows before their ledger entries, so that every ready chunk has its rows."""
    syncing = Syncing(jobs.payloads)
    try:
        for index, chunk in enumerate(chunks[:-1]):
            await syncing.put(rows_path(new.id, index), chunk.data)
            await jobs.ledger.append_chunks(
                new.id, new.key, [chunk.rows], digests=[chunk.digest], first=index
            )
        last = len(chunks) - 1
        await syncing.put(rows_path(new.id, last), chunks[last].data)
        await syncing.ended()
        if new.idempotency:
            keep_s = jobs.settings.idempotency_keep_s
            await jobs.ledger.bind(new.idempotency, new.id, digest, keep_s=keep_s)
        sealed = await jobs.ledger.fill(
            new.id, new.key, [chunks[last].rows], digests=[chunks[last].digest], first=last
        )
    except JobNotFoundError:
        return await ended_early(jobs, new.id)
    except (ServiceError, RedisError) as error:
        code = StorageFullError.code if is_full(error) else _code_of(error)
        await jobs.broken_uploads.end(BrokenUpload(new.id, code, "The rows could not be stored."))
        raise
    log.info("job_submitted", job_id=new.id, key=new.key, rows=sealed.rows_total, chunks=len(chunks))
    return sealed
