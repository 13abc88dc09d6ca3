"""Whose a job is: nobody sees another's, nor one of a model that he does not see."""

from __future__ import annotations

from api.gateway import Gateway
from api.principals import Principal
from shared.errors import JobExpired, JobNotFound
from shared.ledger import JobRecord


async def own_job(gateway: Gateway, asker: Principal, job_id: str) -> JobRecord:
    """Raises JobNotFound where there is none or it is another's, JobExpired, QueueUnavailable."""
    gateway.link.require()
    try:
        record = await gateway.ledger.read(job_id)
    except JobExpired as error:
        if asker.owns(error.owner):
            raise
    else:
        if asker.owns(record.owner) and asker.sees(record.model):
            return record
    raise JobNotFound(f"There is no job {job_id!r}.")
