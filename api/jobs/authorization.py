"""Whose a job is: nobody sees another's, nor one of a model that he does not see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from api.access.principal import Principal
from api.jobs.service import JobService
from shared.errors import JobExpired, JobNotFound
from shared.ledger import ChunkRecord, Inline, JobRecord


async def own_job(jobs: JobService, asker: Principal, job_id: str) -> JobRecord:
    """Raises JobNotFound where there is none or it is another's, JobExpired, QueueUnavailable."""
    jobs.queue.require()
    with _hiding(asker, job_id):
        record = await jobs.ledger.read(job_id)
    _require_own(asker, record)
    return record


async def own_results(
    jobs: JobService, asker: Principal, job_id: str, *, partial: bool
) -> tuple[JobRecord, list[ChunkRecord], Inline]:
    """The job, and once it has succeeded, or as they are where `partial`, its chunks and what of it lies in
    the ledger. Raises the same."""
    jobs.queue.require()
    with _hiding(asker, job_id):
        record, chunks, inline = await jobs.ledger.read_ended(job_id, partial=partial)
    _require_own(asker, record)
    return record, chunks, inline


@contextmanager
def _hiding(asker: Principal, job_id: str) -> Iterator[None]:
    """That there was a job is told to its owner alone."""
    try:
        yield
    except JobExpired as error:
        if asker.owns(error.owner):
            raise
        raise _no_such_job(job_id) from None


def _require_own(asker: Principal, record: JobRecord) -> None:
    if not (asker.owns(record.owner) and asker.sees(record.model)):
        raise _no_such_job(record.id)


def _no_such_job(job_id: str) -> JobNotFound:
    return JobNotFound(f"There is no job {job_id!r}.")
