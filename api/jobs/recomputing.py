"""Results that are lost: their chunks are computed again from their rows, and the client is told to wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

import structlog

from api.jobs.views import POLL_AFTER_S
from shared.errors import ResultLost, ResultsNotReady
from shared.ledger import AsyncLedger

log = structlog.get_logger(__name__)

T = TypeVar("T")

REASON = "{}: the stored result of this chunk is missing or damaged, and its job has ended"
"""What rows say that cannot be computed again."""


async def recompute(ledger: AsyncLedger, job_id: str, lost: ResultLost) -> ResultsNotReady:
    """Have the chunk computed again. → what the client is answered"""
    made = await ledger.recompute(job_id, lost.index, lost.token, REASON.format(lost.cause))
    log.error(
        "result_lost", job_id=job_id, chunk=lost.index, made=str(made), code=lost.cause, reason=lost.detail
    )
    detail = "A stored result of the job is missing or damaged; its rows are computed again."
    return ResultsNotReady(detail, retry_after_s=POLL_AFTER_S)


async def recomputing(ledger: AsyncLedger, job_id: str, answer: Awaitable[T]) -> T:
    """The answer. Raises ResultsNotReady where a result that it needs is computed again."""
    try:
        return await answer
    except ResultLost as lost:
        raise await recompute(ledger, job_id, lost) from lost


async def recomputing_each(
    ledger: AsyncLedger, job_id: str, parts: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """The parts; an answer that has begun breaks off, and the chunk is computed again."""
    try:
        async for part in parts:
            yield part
    except ResultLost as lost:
        raise await recompute(ledger, job_id, lost) from lost
