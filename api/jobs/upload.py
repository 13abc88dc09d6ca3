"""Upload of a file as a job: a thread parses the body, and its chunks go to the store and the ledger.

The job exists before the first byte, and workers run its first chunks while the rest arrives. Any error
during the upload fails the job, frees its Idempotency-Key and removes its chunks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError

from api.http.error_answers import is_full, unavailable
from api.http.request_bodies import ClientLeftError
from api.jobs.broken_uploads import BrokenUpload
from api.jobs.idempotency import fingerprint
from api.jobs.job_service import JobService
from api.jobs.upload_pipe import Pipe
from api.jobs.upload_syncing import Syncing
from shared.errors import (
    JobNotFoundError,
    PayloadError,
    QueueUnavailableError,
    ServiceError,
    StorageFullError,
    TooManyJobsError,
    UploadInterruptedError,
)
from shared.ledger import JobRecord, NewJob
from shared.payloads import rows_path
from shared.tabular.chunking import Chunk
from shared.tabular.free_memory import out_of_memory, require_room
from shared.tabular.reading import Reading, ReadSummary

log = structlog.get_logger()

_WAITING_BYTES = 2 * 2**20
"""Buffer between the event loop and the thread that parses a body."""

Deliver = Callable[[Chunk], Awaitable[None]]
Charge = Callable[[int], Awaitable[None]]
"""Called with the number of rows to store next, and with 0 before the job is sealed. Raises if the quota is
exceeded, or if the client's key is no longer valid."""


@dataclass(frozen=True)
class Upload:
    """An incoming body, and its format and options."""

    body: AsyncIterator[bytes]
    reading: Reading


async def receive_upload(jobs: JobService, upload: Upload, new: NewJob, charge: Charge) -> JobRecord:
    """Create a job from a body. → the sealed job, or the ended job if it ended during the upload

    Raises ClientLeftError and errors of the whole upload, after failing the job.
    """
    storing = _Storing(jobs, new, charge)
    await _open(jobs, new)
    try:
        async with leased(jobs, new):
            summary = await read_through(jobs, upload, storing.store)
            await storing.synced()
        await charge(0)
        if new.idempotency:
            await _bind(jobs, new, fingerprint(upload.reading, summary.sha256))
        sealed = await jobs.ledger.seal(new.id, chunks=storing.chunks)
    except JobNotFoundError:
        return await ended_early(jobs, new.id)
    except BaseException as error:
        code, detail = _reason(error)
        log.warning("upload_failed", job_id=new.id, code=code)
        await asyncio.shield(jobs.broken_uploads.end(BrokenUpload(new.id, code, detail)))
        raise
    log.info("job_submitted", job_id=new.id, key=new.key, rows=summary.rows, rows_invalid=summary.rows_failed)
    return sealed


async def _open(jobs: JobService, new: NewJob) -> None:
    """Open the job. Raises TooManyJobsError, after freeing the job's Idempotency-Key."""
    try:
        await jobs.ledger.open_job(new)
    except TooManyJobsError:
        if new.idempotency:
            await jobs.ledger.unreserve(new.idempotency, new.id)
        raise


async def ended_early(jobs: JobService, job_id: str) -> JobRecord:
    """Return a job that ended during its upload: canceled, or past its error budget.

    Raises QueueUnavailableError if Redis has lost the job.
    """
    try:
        return await jobs.ledger.read(job_id)
    except JobNotFoundError:
        raise unavailable("The queue has lost this job. Submit it again.") from None


async def read_through(jobs: JobService, upload: Upload, deliver: Deliver) -> ReadSummary:
    """Read a body to its end in its reserved thread, and deliver its chunks in order. → counts and digest"""
    summary = ReadSummary()
    pipe = Pipe(_WAITING_BYTES)
    loop = asyncio.get_running_loop()
    with jobs.uploads.reading(pipe), _pumped(upload.body, pipe) as pump:
        try:
            run = _ReadingThread(upload.reading, pipe, summary, jobs.payloads.fits, deliver, loop)
            await loop.run_in_executor(jobs.uploads.pool, run)
        except UploadInterruptedError:
            if pump.done():
                await pump  # raises the cause
            raise
    return summary


@dataclass(frozen=True)
class _ReadingThread:
    """The function that the thread runs."""

    reading: Reading
    pipe: Pipe
    summary: ReadSummary
    fits: Callable[[int], bool]
    deliver: Deliver
    loop: asyncio.AbstractEventLoop

    def __call__(self) -> None:
        """Store each chunk while the next is cut."""
        stored: Future[None] | None = None
        try:
            require_room()
            for chunk in self.reading.chunks(self.pipe, self.summary):
                require_room()
                if not self.fits(len(chunk.data)):
                    raise StorageFullError
                if stored is not None:
                    stored.result()
                stored = asyncio.run_coroutine_threadsafe(self._deliver(chunk), self.loop)
            if stored is not None:
                stored.result()
        finally:
            self.pipe.break_off()
            if stored is not None:
                wait([stored])

    async def _deliver(self, chunk: Chunk) -> None:
        await self.deliver(chunk)


class _Storing:
    """Stores rows before their ledger entries, so that every ready chunk has its rows."""

    def __init__(self, jobs: JobService, new: NewJob, charge: Charge) -> None:
        self._jobs = jobs
        self._new = new
        self._charge = charge
        self._syncing = Syncing(jobs.payloads)
        self.chunks = 0

    async def synced(self) -> None:
        """Wait until all rows are on the disk, so that a sealed job survives a power cut."""
        await self._syncing.ended()

    async def store(self, chunk: Chunk) -> None:
        await self._charge(chunk.rows)
        index, self.chunks = self.chunks, self.chunks + 1
        await self._syncing.put(rows_path(self._new.id, index), chunk.data)
        await self._jobs.ledger.append_chunks(
            self._new.id, self._new.key, [chunk.rows], digests=[chunk.digest], first=index
        )


@contextmanager
def _pumped(body: AsyncIterator[bytes], pipe: Pipe) -> Iterator[asyncio.Task[None]]:
    """Feed the pipe while the block runs."""
    task = asyncio.create_task(_pump(body, pipe))
    try:
        yield task
    finally:
        pipe.break_off()
        task.cancel()
        task.add_done_callback(_seen)


def _seen(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()


async def _pump(body: AsyncIterator[bytes], pipe: Pipe) -> None:
    try:
        async for part in body:
            if part and not await pipe.put(part):
                return
        pipe.end()
    except BaseException:
        pipe.break_off()
        raise


@asynccontextmanager
async def leased(jobs: JobService, new: NewJob) -> AsyncIterator[None]:
    """Renew the leases of the upload and its Idempotency-Key while the block runs."""
    task = asyncio.create_task(_renew(jobs, new))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _renew(jobs: JobService, new: NewJob) -> None:
    lease_s = jobs.settings.lease_s
    while True:
        await asyncio.sleep(lease_s / 3)
        try:
            await jobs.ledger.append_chunks(new.id, new.key, [])
            if new.idempotency:
                await jobs.ledger.bind(new.idempotency, new.id, "", keep_s=lease_s)
        except RedisError as error:
            log.warning("upload_lease_not_renewed", job_id=new.id, error=type(error).__name__)
        except JobNotFoundError:
            return  # storing the next chunk raises the same


async def _bind(jobs: JobService, new: NewJob, digest: str) -> None:
    keep_s = jobs.settings.idempotency_keep_s
    await jobs.ledger.bind(new.idempotency, new.id, digest, keep_s=keep_s)


def _reason(error: BaseException) -> tuple[str, str]:
    if is_full(error):
        return StorageFullError.code, StorageFullError().detail
    if isinstance(error, PayloadError):
        return error.code, "The rows could not be stored."
    if isinstance(error, RedisError):
        return QueueUnavailableError.code, "The queue became unavailable during the upload."
    if isinstance(error, MemoryError):
        error = out_of_memory()
    if isinstance(error, ServiceError):
        return error.code, error.detail
    if isinstance(error, ClientLeftError | asyncio.CancelledError):
        return UploadInterruptedError.code, "The upload broke off before its end."
    return ServiceError.code, "The upload failed with an internal error."
