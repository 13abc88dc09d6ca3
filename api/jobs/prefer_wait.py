"""Waiting for the end of a job, if the client asks for it (`Prefer: wait=N`, RFC 7240)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from api.jobs.job_service import JobService
from shared.ledger import JobRecord

_FIRST_LOOK_S = 0.02
_LONGEST_PAUSE_S = 0.25


def _stays() -> bool:
    return False


async def ended_within(
    jobs: JobService, record: JobRecord, asked_s: int, *, left: Callable[[], bool] = _stays
) -> tuple[JobRecord, int]:
    """Wait for the end of a job. → the job, ended or unfinished after the wait, and the granted seconds.

    Polls the newest entry of the job's event stream, as `events.py` does: a small command that holds no
    connection between polls. The interval grows, so that the end of a small job is found soon. Returns early
    if the gateway stops or the client has `left`. Raises JobNotFound or JobExpired if the job is removed.
    """
    granted_s = int(min(asked_s, jobs.settings.max_wait_s))
    loop = asyncio.get_running_loop()
    end_s, pause_s, known = loop.time() + granted_s, _FIRST_LOOK_S, ""
    while (
        not (record.state.ended or jobs.lifecycle.draining or left()) and (left_s := end_s - loop.time()) > 0
    ):
        await asyncio.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
        event = await jobs.ledger.newest_event(record.id, after=known)
        if event is None:
            continue
        known = event.id
        if event.state.ended:
            record = await jobs.ledger.read(record.id)
    return (record if record.state.ended else await jobs.ledger.read(record.id)), granted_s
