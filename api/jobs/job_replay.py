"""Replay of a job: its stored rows run again on another version, as a new job. Rows stay in the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import pyarrow as pa
import structlog
from redis.exceptions import RedisError

from api.access.principal import Principal
from api.http.error_answers import is_full
from api.jobs.broken_uploads import BrokenUpload
from api.jobs.idempotency import reservation_name, reserve, same_job, whole
from api.jobs.job_options import JobOptions, pinned_job
from api.jobs.job_service import JobService
from api.jobs.upload import ended_early, leased
from api.models.catalog import Servable
from shared.arrow_tables import input_schema
from shared.errors import (
    InvalidInputError,
    InvalidStateError,
    JobNotFoundError,
    PayloadCorruptError,
    PayloadLostError,
    QueueUnavailableError,
    ServiceError,
    StorageFullError,
)
from shared.input_changes import incompatibility
from shared.integrity import digest_of
from shared.job_payloads import JobObjects
from shared.ledger import ChunkRecord, Inline, JobRecord, JobState, NewJob, Reservation
from shared.payloads import rows_path
from shared.specs import ModelSpec

log = structlog.get_logger()

_TOGETHER = 64
"""Chunks that are copied and made ready at once."""


@dataclass(frozen=True)
class StoredRows:
    """The rows of a job, as they are stored."""

    chunks: Sequence[ChunkRecord]
    inline: Inline


async def replay(
    jobs: JobService,
    caller: Principal,
    record: JobRecord,
    servable: Servable,
    options: JobOptions,
    *,
    key: str | None = None,
) -> tuple[JobRecord, bool]:
    """Run the rows of `record`, a job of the caller that has succeeded, on `servable`. → the new job, and
    whether an earlier request with the same Idempotency-Key created it

    Raises InvalidStateError for another state and if the rows are no longer stored, InvalidInputError if the
    version cannot run them, and the errors of a submission.
    """
    jobs.queue.require_open()
    if record.state is not JobState.SUCCEEDED:
        raise InvalidStateError(f"The job is {record.state}; only a job that has succeeded can be replayed.")
    stored = await stored_rows(jobs, record, servable)
    reserved = reservation_name(caller.name, key) if key is not None else ""
    new = await pinned_job(jobs, caller, servable, options, reserved)
    new = msgspec.structs.replace(new, replay_of=record.id)
    digest = digest_of(f"{record.id}\n{servable.key}\n{options}".encode())
    if stored.inline.rows and caller.quota is None:
        return await _submitted(jobs, new, stored, digest)
    if reserved and (taken := await reserve(jobs.ledger, reserved, new.id)):
        return await same_job(jobs.ledger, taken, digest), True
    charged = sum(chunk.rows for chunk in stored.chunks)
    return await filled(
        jobs, caller, new, partial(_copy, jobs, new, stored), rows=charged, digest=digest
    ), False


async def stored_rows(jobs: JobService, record: JobRecord, servable: Servable) -> StoredRows:
    """The rows of a job that has ended, which `servable` can run.

    Raises InvalidStateError if they are no longer stored, InvalidInputError if the version cannot run them.
    """
    if record.model != servable.spec.name:
        raise InvalidInputError(f"The job ran {record.model}; its rows cannot run on {servable.key}.")
    _, chunks, inline = await jobs.ledger.read_ended(record.id, partial=True)
    if record.abandoned or record.rows_total is None or not chunks:
        raise InvalidStateError("The job ended before all its rows were stored: submit them again.")
    stored = StoredRows(chunks, inline)
    await _require_runnable(jobs, record, stored, servable)
    return stored


def replay_options(record: JobRecord) -> JobOptions:
    """The options of a replay: those of the job that describe its rows."""
    return JobOptions(
        reference=record.reference,
        tags=record.tags,
        priority=record.priority,
        id_column=record.id_column,
        keep_columns=record.keep_columns,
    )


async def _require_runnable(
    jobs: JobService, record: JobRecord, stored: StoredRows, servable: Servable
) -> None:
    objects = JobObjects(jobs.payloads, record.id, stored.inline)
    try:
        first = await asyncio.to_thread(objects.rows_table, stored.chunks[0])
    except (PayloadLostError, PayloadCorruptError) as error:
        lost = f"The rows of job {record.id} are no longer stored: submit them again."
        raise InvalidStateError(lost) from error
    before = _spec_of_rows(jobs, record)
    problem = _missing_column(first.schema, servable.spec)
    if problem is None and before is not None:
        problem = incompatibility(before, servable.spec)
    if problem is not None:
        raise InvalidInputError(f"{servable.key} cannot run the rows of {record.key}: {problem}.")


def _spec_of_rows(jobs: JobService, record: JobRecord) -> ModelSpec | None:
    """The spec that read the job's rows; None if the repository no longer has it."""
    try:
        spec = jobs.catalog.repository.spec_of(record.model, record.version)
    except ServiceError:
        return None
    return spec if record.spec_digest in ("", spec.digest) else None


def _missing_column(stored: pa.Schema, spec: ModelSpec) -> str | None:
    for field in input_schema(spec):
        place = stored.get_field_index(field.name)
        if place < 0:
            return f"{field.name} is missing in the rows"
        if stored.field(place).type != field.type:
            return f"{field.name} is {field.type}; the rows have {stored.field(place).type}"
    return None


async def _submitted(
    jobs: JobService, new: NewJob, stored: StoredRows, digest: str
) -> tuple[JobRecord, bool]:
    """Replay a small job, whose rows the ledger keeps."""
    chunk = stored.chunks[0]
    made = await jobs.ledger.submit(
        new,
        chunk.rows,
        stored.inline.rows,
        rows_digest=chunk.rows_digest,
        digest=digest,
        keep_s=jobs.settings.idempotency_keep_s,
    )
    if isinstance(made, Reservation):
        return await same_job(jobs.ledger, whole(made), digest), True
    log.info("job_replayed", job_id=new.id, key=new.key, replay_of=new.replay_of, rows=chunk.rows)
    return made.record, False


async def filled(
    jobs: JobService,
    caller: Principal,
    new: NewJob,
    fill: Callable[[], Awaitable[int]],
    *,
    rows: int,
    digest: str,
) -> JobRecord:
    """Open a job, store its rows with `fill`, and seal it. `rows`: charged to the caller's quota; `digest`:
    of the request; `fill` returns the number of chunks."""
    try:
        await jobs.limiter.charge(caller.quota, rows)
        await jobs.ledger.open_job(new)
    except ServiceError:
        if new.idempotency:
            await jobs.ledger.unreserve(new.idempotency, new.id)
        raise
    try:
        async with leased(jobs, new):
            chunks = await fill()
        if new.idempotency:
            keep_s = jobs.settings.idempotency_keep_s
            await jobs.ledger.bind(new.idempotency, new.id, digest, keep_s=keep_s)
        sealed = await jobs.ledger.seal(new.id, chunks=chunks)
    except JobNotFoundError:
        return await ended_early(jobs, new.id)
    except BaseException as error:
        broken = BrokenUpload(new.id, _code_of(error), "The rows could not be copied.")
        await asyncio.shield(jobs.broken_uploads.end(broken))
        raise
    of = new.replay_of or new.retry_of
    log.info("job_replayed", job_id=new.id, key=new.key, replay_of=of, rows=sealed.rows_total)
    return sealed


async def _copy(jobs: JobService, new: NewJob, stored: StoredRows) -> int:
    """Copy rows before their ledger entries, so that every ready chunk has its rows."""
    for start in range(0, len(stored.chunks), _TOGETHER):
        some = stored.chunks[start : start + _TOGETHER]
        for chunk in some:
            path = rows_path(new.id, chunk.index)
            if stored.inline.rows:
                await jobs.payloads.put_async(path, stored.inline.rows)
                await jobs.payloads.sync_async(path)
            else:
                await jobs.payloads.copy_async(rows_path(new.replay_of, chunk.index), path)
        await jobs.payloads.sync_name_async(rows_path(new.id, some[-1].index))
        await jobs.ledger.append_chunks(
            new.id,
            new.key,
            [chunk.rows for chunk in some],
            digests=[chunk.rows_digest for chunk in some],
            first=start,
        )
    return len(stored.chunks)


def _code_of(error: BaseException) -> str:
    if is_full(error):
        return StorageFullError.code
    if isinstance(error, RedisError):
        return QueueUnavailableError.code
    return error.code if isinstance(error, ServiceError) else ServiceError.code
