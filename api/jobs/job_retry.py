"""Retry of a job that has ended: all its rows, or those without a result, run again as a new job."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from enum import StrEnum

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from api.access.principal import Principal
from api.jobs.idempotency import reservation_name, reserve, same_job
from api.jobs.job_options import JobOptions, pinned_job
from api.jobs.job_replay import StoredRows, filled, stored_rows
from api.jobs.job_service import JobService
from api.models.catalog import Servable
from shared.arrow_tables import ERROR
from shared.errors import InvalidStateError
from shared.integrity import digest_of
from shared.job_payloads import JobObjects
from shared.ledger import ChunkRecord, ChunkState, JobRecord, NewJob
from shared.payloads import rows_path
from shared.tabular.chunking import Chunk, Cutter


class RetriedRows(StrEnum):
    FAILED = "failed"  # rows without a result: they failed, or the job ended before they ran
    ALL = "all"


async def retry(
    jobs: JobService,
    caller: Principal,
    record: JobRecord,
    servable: Servable,
    options: JobOptions,
    *,
    rows: RetriedRows,
    key: str | None = None,
) -> tuple[JobRecord, bool]:
    """Run rows of `record`, a job of the caller that has ended, on `servable`. → the new job, and whether an
    earlier request with the same Idempotency-Key created it

    The rows are in the order of the job. Raises InvalidStateError if the job has not ended, has no such rows
    or its rows are no longer stored, and the errors of a replay.
    """
    jobs.queue.require_open()
    if not record.state.ended:
        raise InvalidStateError(f"The job is {record.state}; only a job that has ended can be retried.")
    stored = await stored_rows(jobs, record, servable)
    count = (
        sum(map(_rows_without_result, stored.chunks)) if rows is RetriedRows.FAILED else record.rows_accepted
    )
    if not count:
        raise InvalidStateError("Every row of the job has a result; nothing failed.")
    reserved = reservation_name(caller.name, key) if key is not None else ""
    new = await pinned_job(jobs, caller, servable, options, reserved)
    new = msgspec.structs.replace(new, retry_of=record.id)
    digest = digest_of(f"{record.id}\n{servable.key}\n{options}\n{rows}".encode())
    if reserved and (taken := await reserve(jobs.ledger, reserved, new.id)):
        return await same_job(jobs.ledger, taken, digest), True
    selection = _Selection(jobs, new, stored, rows)
    return await filled(jobs, caller, new, selection.store, rows=count, digest=digest), False


class _Selection:
    """The rows of a retry, collected into chunks for the new job."""

    def __init__(self, jobs: JobService, new: NewJob, stored: StoredRows, rows: RetriedRows) -> None:
        self._jobs = jobs
        self._new = new
        self._chunks = stored.chunks
        self._objects = JobObjects(jobs.payloads, new.retry_of, stored.inline)
        self._all = rows is RetriedRows.ALL

    async def store(self) -> int:
        """Store each chunk before its ledger entry. → the number of chunks"""
        chunks, index = self._read(), 0
        while chunk := await asyncio.to_thread(next, chunks, None):
            path = rows_path(self._new.id, index)
            await self._jobs.payloads.put_async(path, chunk.data)
            await self._jobs.payloads.sync_async(path)
            await self._jobs.payloads.sync_name_async(path)
            await self._jobs.ledger.append_chunks(
                self._new.id, self._new.key, [chunk.rows], digests=[chunk.digest], first=index
            )
            index += 1
        return index

    def _read(self) -> Iterator[Chunk]:
        settings = self._jobs.settings
        cutter = Cutter(chunk_rows=settings.chunk_rows, chunk_bytes=settings.chunk_bytes)
        for stored in self._chunks:
            if self._all or _rows_without_result(stored):
                for batch in self._selected(stored).to_batches():
                    yield from cutter.add(batch)
        yield from cutter.rest()

    def _selected(self, chunk: ChunkRecord) -> pa.Table:
        rows = self._objects.rows_table(chunk).replace_schema_metadata(None)
        if self._all or chunk.state is not ChunkState.DONE:
            return rows
        return rows.filter(pc.is_valid(self._objects.result_table(chunk)[ERROR]))


def _rows_without_result(chunk: ChunkRecord) -> int:
    return chunk.failed if chunk.state is ChunkState.DONE else chunk.rows
