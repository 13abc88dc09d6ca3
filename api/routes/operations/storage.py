"""The payload store: its use by owner, and the removal of orphaned objects."""

from __future__ import annotations

import time
from typing import Annotated

import structlog
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.access.principal import Caller
from api.gateway import GatewayState
from api.http.error_answers import of_errors
from api.jobs.storage_use import remove_orphans, storage_use

router = APIRouter(tags=["operations"])
log = structlog.get_logger()

LEAST_AGE_S = 3600
DAY_S = 86_400


class OwnerUse(BaseModel):
    owner: str
    jobs: int
    bytes: int


class OrphanView(BaseModel):
    job_id: str
    bytes: int
    age_s: float = Field(description="Since the newest object was written")


class Storage(BaseModel):
    used_bytes: int
    free_bytes: int | None = Field(description="Within TAKT_MAX_STORED_BYTES and on the disk; null: unknown")
    limit_bytes: int | None
    owners: list[OwnerUse] = Field(description="The largest first")
    orphans: list[OrphanView] = Field(description="Objects of jobs that the ledger does not know")


class Cleaned(BaseModel):
    removed: list[str] = Field(description="The jobs whose objects were removed")
    bytes: int


@router.get("/storage", responses=of_errors(503))
async def storage(gateway: GatewayState) -> Storage:
    """Use of the payload store. Reads the size of every object: do not poll it."""
    gateway.queue.require()
    use, now_s = await storage_use(gateway.jobs), time.time()
    return Storage(
        used_bytes=use.used_bytes,
        free_bytes=use.free_bytes,
        limit_bytes=use.limit_bytes,
        owners=[OwnerUse(owner=owner, jobs=jobs, bytes=size) for owner, (jobs, size) in use.by_owner.items()],
        orphans=[
            OrphanView(job_id=job.id, bytes=job.size_bytes, age_s=round(now_s - job.newest_at_s, 1))
            for job in use.orphans
        ],
    )


@router.post("/storage/clean", responses=of_errors(409, 422, 503))
async def clean(
    gateway: GatewayState,
    caller: Caller,
    older_than_s: Annotated[
        float, Query(ge=LEAST_AGE_S, description="Only objects to which nobody wrote for so long")
    ] = DAY_S,
) -> Cleaned:
    """Remove orphaned objects now. Workers do it by themselves after the retention of jobs."""
    gateway.queue.require()
    removed = await remove_orphans(gateway.jobs, older_than_s, time.time())
    log.info("storage_cleaned", jobs=len(removed), by=caller.name)
    return Cleaned(removed=[job.id for job in removed], bytes=sum(job.size_bytes for job in removed))
