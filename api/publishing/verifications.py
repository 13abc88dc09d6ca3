"""Has workers verify versions, and waits for their verdicts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared import keys
from shared.errors import ModelNotLoadedError
from shared.publications import Candidate, Verdict, decode, encode

_LOOK_EVERY_S = 0.1
_TRANSFER_S = 600.0
"""Time for copying the files to the worker, in addition to TAKT_VERIFY_LIMIT_S."""
CLAIM_LIMIT_S = 30.0
"""Time within which a worker must claim a candidate."""


class Verifications:
    """Candidates in Redis. `any_worker`: whether a worker is alive."""

    def __init__(self, client: Redis, verify_limit_s: float, any_worker: Callable[[], bool]) -> None:
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers
        self._limit_s = verify_limit_s + _TRANSFER_S
        self._any_worker = any_worker

    def require_worker(self) -> None:
        """Raises ModelNotLoadedError if no worker can verify a version now."""
        if not self._any_worker():
            raise ModelNotLoadedError(
                "No worker is alive, and a worker must verify a version before it is published.",
                retry_after_s=5.0,
            )

    async def expires_at_ms(self) -> int:
        """The time until which a candidate that is added now is of interest, by Redis' clock."""
        seconds, _ = await self._client.time()
        return int((seconds + self._limit_s) * 1000)

    async def verdict_of(self, candidate: Candidate) -> Verdict:
        """Have a worker verify a version, also if Redis is away meanwhile.

        Raises ModelNotLoadedError if none does in time, RedisError if Redis is away at the beginning.
        """
        await self._client.hset(keys.candidates(), candidate.id, encode(candidate))
        try:
            return await self._awaited(candidate)
        finally:
            with suppress(RedisError):  # workers remove what has expired
                await self._client.hdel(keys.candidates(), candidate.id)
                await self._client.delete(keys.verdict(candidate.id))

    async def _awaited(self, candidate: Candidate) -> Verdict:
        loop = asyncio.get_running_loop()
        unclaimed_s = loop.time() + CLAIM_LIMIT_S
        limit_s = loop.time() + self._limit_s
        while loop.time() < limit_s:
            try:
                text, claimed = await self._client.mget(
                    keys.verdict(candidate.id), keys.candidate_claim(candidate.id)
                )
            except RedisError:
                text, claimed = None, True  # nothing is known, and the worker goes on
            if text is not None:
                return decode(text, Verdict) or Verdict(problem="the worker's verdict cannot be read")
            if claimed:
                unclaimed_s = loop.time() + CLAIM_LIMIT_S
            elif loop.time() >= unclaimed_s:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        raise ModelNotLoadedError(
            f"No worker verified {candidate.model}@{candidate.version} in time; send it again.",
            retry_after_s=5.0,
        )
