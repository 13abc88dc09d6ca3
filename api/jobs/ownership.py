"""Whose a job is: nobody sees another's."""

from __future__ import annotations

from api.gateway import Gateway
from api.principals import Principal
from shared.errors import JobNotFound
from shared.ledger import JobRecord


async def own_job(gateway: Gateway, asker: Principal, job_id: str) -> JobRecord:
    """Raises JobNotFound where there is none or it is another's, JobExpired, QueueUnavailable."""
    gateway.link.require()
    record = await gateway.ledger.read(job_id)
    if not asker.owns(record.owner):
        raise JobNotFound(f"There is no job {job_id!r}.")
    return record
