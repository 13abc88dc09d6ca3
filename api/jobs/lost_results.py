"""Lost results: their chunks are computed again from their rows, and the client gets ResultsNotReadyError."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

import structlog

from api.jobs.job_views import POLL_AFTER_S
from shared.errors import ResultLostError, ResultsNotReadyError
from shared.ledger import AsyncLedger

log = structlog.get_logger(__name__)

T = TypeVar("T")

REASON = "{}: the stored result of this chunk is missing or damaged, and its job has ended"
"""Error text of rows that cannot be computed again."""


async def recompute(ledger: AsyncLedger, lost: ResultLostError) -> ResultsNotReadyError:
    """Have the chunk computed again. → the error for the client"""
    made = await ledger.recompute(lost.job_id, lost.index, lost.token, REASON.format(lost.cause))
    log.error(
        "result_lost",
        job_id=lost.job_id,
        chunk=lost.index,
        made=str(made),
        code=lost.cause,
        reason=lost.detail,
    )
    detail = f"A stored result of job {lost.job_id} is missing or damaged. Its rows are being computed again."
    return ResultsNotReadyError(detail, retry_after_s=POLL_AFTER_S)


async def recomputing(ledger: AsyncLedger, answer: Awaitable[T]) -> T:
    """Return the answer. Raises ResultsNotReadyError if a result that it needs must be computed again."""
    try:
        return await answer
    except ResultLostError as lost:
        raise await recompute(ledger, lost) from lost


async def recomputing_each(ledger: AsyncLedger, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the parts. If a result is lost, the response breaks off and the chunk is computed again."""
    try:
        async for part in parts:
            yield part
    except ResultLostError as lost:
        raise await recompute(ledger, lost) from lost
