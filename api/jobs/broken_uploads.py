"""Interrupted uploads: their jobs fail at once, or as soon as Redis is back.

Until then such a job is `uploading` and holds its Idempotency-Key, so that the client cannot send it again
before the upload's lease expires.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from redis.exceptions import RedisError

from shared.errors import PayloadError
from shared.ledger import AsyncLedger
from shared.payloads import PayloadStore

RETRY_S = 0.5


@dataclass(frozen=True)
class BrokenUpload:
    """A job with an incomplete upload, and the error to record."""

    job_id: str
    code: str
    detail: str


class BrokenUploads:
    """The interrupted uploads of one gateway. After one lease, the reconciler takes over."""

    def __init__(
        self,
        ledger: AsyncLedger,
        payloads: PayloadStore,
        *,
        lease_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._payloads = payloads
        self._lease_s = lease_s
        self._clock = clock
        self._waiting: deque[tuple[BrokenUpload, float]] = deque()
        self._any = asyncio.Event()

    async def end(self, broken: BrokenUpload) -> None:
        """Fail the job and remove its rows. If the ledger does not answer, `try_again` does so later."""
        if not await self._ended(broken):
            self._waiting.append((broken, self._clock() + self._lease_s))
            self._any.set()

    async def try_again(self) -> None:
        """Wait for a queued upload, then try each queued upload once."""
        await self._any.wait()
        await asyncio.sleep(RETRY_S)
        for _ in range(len(self._waiting)):
            broken, until_s = self._waiting.popleft()
            if not await self._ended(broken) and self._clock() < until_s:
                self._waiting.append((broken, until_s))
        if not self._waiting:
            self._any.clear()

    async def _ended(self, broken: BrokenUpload) -> bool:
        """Fail the job in the ledger first, so that no chunk is claimed after its rows are removed.

        Rows stay if the ledger does not answer, or if the job is sealed (by a call with a lost answer).
        """
        try:
            failed = await self._ledger.fail_job(broken.job_id, broken.code, broken.detail)
        except RedisError:
            return False
        if failed:
            with suppress(PayloadError):
                await asyncio.to_thread(self._payloads.remove_job, broken.job_id)
        return True
