"""Records conditions in Redis and sends their notifications. Only the gateway that holds the lease does this.

While Redis does not answer or refuses writes, no gateway can hold the lease, so each gateway notifies this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.status.notifications import ConditionNotifier
from api.status.status_watch import EVERY_S, StatusWatch
from shared import keys
from shared.conditions.episodes import Episode, encode_episode, next_episodes

ANNOUNCE_LIMIT_S = 2.0
OWN = ("redis_down", "redis_refuses_writes")
"""Conditions that cannot be recorded in Redis while they last."""


class ConditionRecorder:
    """A background task of the gateway."""

    def __init__(self, watch: StatusWatch, client: Redis, notifier: ConditionNotifier) -> None:
        self._watch = watch
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers
        self._notifier = notifier
        self._own: dict[str, Episode] = {}
        """Episodes of `OWN`, known to this gateway alone."""

    async def run_later(self) -> None:
        """Wait a second, then record. A background task repeats it."""
        await asyncio.sleep(EVERY_S)
        await self.run()

    async def run(self) -> None:
        leads = answers = False
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(ANNOUNCE_LIMIT_S):
                leads = await self._watch.announce()
                answers = True
        if leads or not answers or self._own:
            await self._watch.standing()
        await self._notify_own()
        if leads and self._watch.facts.redis is not None:
            with suppress(RedisError, OSError):
                await self._record()

    async def _notify_own(self) -> None:
        standing = [one for one in self._watch.latest if one.condition.code in OWN]
        if not standing and not self._own:
            return
        now_ms = self._watch.facts.now_ms
        episodes = next_episodes(self._own, standing, now_ms, notifies=self._notifier.notifies)
        self._own = await self._notifier.deliver(episodes, now_ms)

    async def _record(self) -> None:
        before = await self._watch.recorded()
        now_ms = self._watch.facts.now_ms
        standing = [one for one in self._watch.latest if one.condition.code not in OWN]
        episodes = next_episodes(before, standing, now_ms, notifies=self._notifier.notifies)
        await self._store(before, episodes)
        await self._store(episodes, await self._notifier.deliver(episodes, now_ms))

    async def _store(self, before: Mapping[str, Episode], after: Mapping[str, Episode]) -> None:
        changed = {id_: encode_episode(one) for id_, one in after.items() if before.get(id_) != one}
        gone = before.keys() - after.keys()
        if not changed and not gone:
            return
        pipeline = self._client.pipeline(transaction=True)
        if changed:
            pipeline.hset(keys.conditions(), mapping=changed)
        if gone:
            pipeline.hdel(keys.conditions(), *gone)
        await pipeline.execute()
