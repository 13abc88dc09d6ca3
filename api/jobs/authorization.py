"""Access to jobs: a principal sees its own jobs, and only jobs of models that it may see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from api.access.principal import Principal
from api.jobs.job_service import JobService
from shared.errors import JobExpiredError, JobNotFoundError
from shared.ledger import ChunkRecord, Inline, JobRecord


async def own_job(jobs: JobService, caller: Principal, job_id: str, *, to_change: bool = False) -> JobRecord:
    """Read a job. `to_change`: the caller must own it; a key that reads everything does not suffice.

    Raises JobNotFoundError if the job does not exist or belongs to another owner, JobExpiredError,
    QueueUnavailable.
    """
    jobs.queue.require()
    with _hiding(caller, job_id):
        record = await jobs.ledger.read(job_id)
    _require_own(caller, record)
    if to_change and not caller.owns(record.owner):
        raise _no_such_job(record.id)
    return record


async def own_results(
    jobs: JobService, caller: Principal, job_id: str, *, partial: bool
) -> tuple[JobRecord, list[ChunkRecord], Inline]:
    """Return the job, its chunks and its inline payloads, once the job has succeeded, or at any time if
    `partial`. Raises the errors of `own_job`."""
    jobs.queue.require()
    with _hiding(caller, job_id):
        record, chunks, inline = await jobs.ledger.read_ended(job_id, partial=partial)
    _require_own(caller, record)
    return record, chunks, inline


@contextmanager
def _hiding(caller: Principal, job_id: str) -> Iterator[None]:
    """Replace JobExpiredError by JobNotFoundError for other owners: only the owner learns that a job
    existed."""
    try:
        yield
    except JobExpiredError as error:
        if caller.reads(error.owner):
            raise
        raise _no_such_job(job_id) from None


def _require_own(caller: Principal, record: JobRecord) -> None:
    if not (caller.reads(record.owner) and caller.sees(record.model)):
        raise _no_such_job(record.id)


def _no_such_job(job_id: str) -> JobNotFoundError:
    return JobNotFoundError(f"There is no job {job_id!r}.")
