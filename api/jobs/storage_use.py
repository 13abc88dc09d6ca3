"""Use of the payload store: bytes by owner, and objects of jobs that are not in the ledger.

Workers remove such orphans by themselves once they are older than the retention of jobs; an operator may
remove them earlier.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

import structlog

from api.jobs.job_service import JobService
from shared.errors import InvalidStateError
from shared.payloads import JobSize, is_job_id

log = structlog.get_logger()

_READ_AT_ONCE = 500


@dataclass(frozen=True)
class StorageUse:
    """Use of the store. `free_bytes`, `limit_bytes`: None if the store does not report it."""

    used_bytes: int
    free_bytes: int | None
    limit_bytes: int | None
    by_owner: dict[str, tuple[int, int]]
    """Jobs and bytes of each owner, the largest first."""
    orphans: list[JobSize]


async def storage_use(jobs: JobService) -> StorageUse:
    """Measure the store: reads the size of every object.

    Raises PayloadStoreAwayError, redis.exceptions.RedisError.
    """
    payloads = jobs.payloads
    found = await asyncio.to_thread(lambda: list(payloads.job_sizes()))
    owners, orphans = await _owners(jobs, found)
    sizes, counts = Counter[str](), Counter[str]()
    for job in found:
        if (owner := owners.get(job.id)) is not None:
            sizes[owner] += job.size_bytes
            counts[owner] += 1
    return StorageUse(
        used_bytes=sum(job.size_bytes for job in found),
        free_bytes=await asyncio.to_thread(payloads.free_bytes),
        limit_bytes=await asyncio.to_thread(payloads.limit_bytes),
        by_owner={owner: (counts[owner], size) for owner, size in sizes.most_common()},
        orphans=orphans,
    )


async def remove_orphans(jobs: JobService, older_than_s: float, now_s: float) -> list[JobSize]:
    """Remove the objects of jobs that are not in the ledger and have had no write for that long.

    → the removed objects. Raises InvalidStateError if the ledger is younger than that: Redis may have been
    emptied, and then has no jobs; PayloadStoreAwayError, redis.exceptions.RedisError.
    """
    age_s = await jobs.ledger.age_s()
    if age_s < older_than_s:
        raise InvalidStateError(
            f"Redis has jobs of the last {age_s:.0f} s only: it may have been emptied or replaced, and "
            f"objects older than {older_than_s:.0f} s may belong to jobs that it has lost."
        )
    use = await storage_use(jobs)
    old = [job for job in use.orphans if now_s - job.newest_at_s > older_than_s]
    for job in old:
        await asyncio.to_thread(jobs.payloads.remove_job, job.id)
        log.info("orphan_removed", job_id=job.id, size_bytes=job.size_bytes)
    return old


async def _owners(jobs: JobService, found: list[JobSize]) -> tuple[dict[str, str], list[JobSize]]:
    """The owners of jobs by id, and the jobs that are not in the ledger."""
    owners: dict[str, str] = {}
    orphans: list[JobSize] = []
    known = [job for job in found if is_job_id(job.id)]
    for start in range(0, len(known), _READ_AT_ONCE):
        part = {job.id: job for job in known[start : start + _READ_AT_ONCE]}
        owners |= {record.id: record.owner for record in await jobs.ledger.read_all(list(part))}
        unknown = await jobs.ledger.unknown([job_id for job_id in part if job_id not in owners])
        orphans += [part[job_id] for job_id in unknown]
    return owners, orphans
