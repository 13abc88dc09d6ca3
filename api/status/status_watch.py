"""The conditions now, and since when. One gateway of all records their beginnings in Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.status.fact_gathering import GATEWAY_FORGOTTEN_S, LOOK_LIMIT_S, Gatherer
from shared import keys
from shared.conditions import (
    ConditionTracker,
    Standing,
    StatusFacts,
    conditions_of,
    without_consequences,
)
from shared.conditions.episodes import Episode, decode_episode

FRESH_S = 0.5
"""Callers within this time share an observation."""
EVERY_S = 1.0
LEASE_MS = 10_000


class StatusWatch:
    """Observes on demand; the gateway that holds the lease also observes every second, and records."""

    def __init__(
        self,
        gatherer: Gatherer,
        client: Redis,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gatherer = gatherer
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers
        self._clock = clock
        self._tracker = ConditionTracker()
        self.latest: Sequence[Standing] = ()
        """The conditions of the latest observation, regardless of its age."""
        self._looked_at_s = float("-inf")
        self._looking = asyncio.Lock()
        self.facts = StatusFacts(now_ms=0)
        """The facts of the latest observation."""

    async def standing(self) -> Sequence[Standing]:
        """The present conditions without the consequences of others, worst first, at most a second old."""
        async with self._looking:  # concurrent callers share an observation
            if self._clock() - self._looked_at_s >= FRESH_S:
                self.latest = await self._look()
                self._looked_at_s = self._clock()
            return self.latest

    async def _look(self) -> Sequence[Standing]:
        self.facts = await self.gatherer.gather()
        found = without_consequences(conditions_of(self.facts))
        known = await self.recorded() if self.facts.redis is not None else {}
        begun_ms = {id_: one.since_ms for id_, one in known.items() if one.is_present}
        return self._tracker.see(found, self.facts.now_ms, begun_ms)

    async def recorded(self) -> Mapping[str, Episode]:
        """The recorded conditions by id; empty if Redis does not answer."""
        stored: Mapping[bytes, bytes] = {}
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(LOOK_LIMIT_S):
                stored = await self._client.hgetall(keys.conditions())
        episodes = {name.decode(errors="replace"): decode_episode(text) for name, text in stored.items()}
        return {name: episode for name, episode in episodes.items() if episode is not None}

    async def announce(self) -> bool:
        """Give a sign of life of this gateway. → whether it holds the lease. Raises RedisError."""
        name = self.gatherer.name
        seconds, micros = await self._client.time()
        now_ms = seconds * 1000 + micros // 1000
        pipeline = self._client.pipeline(transaction=False)
        pipeline.zadd(keys.gateways(), {name: now_ms})
        pipeline.zremrangebyscore(keys.gateways(), "-inf", now_ms - GATEWAY_FORGOTTEN_S * 1000)
        pipeline.set(keys.conditions_lock(), name, nx=True, px=LEASE_MS)
        pipeline.get(keys.conditions_lock())
        *_, holder = await pipeline.execute()
        if holder != name.encode():
            return False
        await self._client.pexpire(keys.conditions_lock(), LEASE_MS)
        return True

    async def withdraw(self) -> None:
        """This gateway stops in order."""
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(LOOK_LIMIT_S):
                await self._client.zrem(keys.gateways(), self.gatherer.name)
                if await self._client.get(keys.conditions_lock()) == self.gatherer.name.encode():
                    await self._client.delete(keys.conditions_lock())
