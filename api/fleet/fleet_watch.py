"""Renews the fleet snapshot from the heartbeats of the workers and the lengths of their streams."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeAlias

from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.fleet.returning_workers import ReturningWorkers
from api.fleet.snapshot import Fleet, name_of
from shared import keys
from shared.keys import ModelKey
from shared.metrics.distribution import Distribution
from shared.metrics.gateway_metrics import REDIS_ROUNDTRIP
from shared.model_identity import ModelIdentity
from shared.recovery_times import RESTARTS_MS
from shared.worker_records import (
    WorkerRecord,
    from_hash,
)

LOOK_EVERY_S = 0.1
"""Interval between reads of the streams' lengths. Other gateways' admissions in between are unknown."""
LOOKS_A_RENEWAL = 5
"""Number of reads of the streams for each read of the heartbeats."""
MOST_WORKERS = 1000
UNSEEN_S = 2.0
"""After this long without a read, Redis was away, and heartbeats expired that workers could not renew."""
RETURN_S = 2.0
"""Time that workers then have to send a heartbeat again."""
OwnEntries: TypeAlias = Callable[[ModelKey], int]
"""Returns the number of this gateway's waiting entries for a model version."""


class FleetWatch:
    """Renews the snapshot. While Redis is away, the last snapshot remains; see `RedisStatus`."""

    def __init__(
        self,
        client: Redis,
        own_entries: OwnEntries,
        clock: Callable[[], float] = time.monotonic,
        *,
        identities: Mapping[ModelKey, ModelIdentity] = MappingProxyType({}),
    ) -> None:
        self._identities = identities
        self._client = client
        self._own_entries = own_entries
        self._clock = clock
        self._looks = 0
        self._believes_at_s = 0.0
        self._returning = ReturningWorkers()
        self.roundtrips = Distribution(REDIS_ROUNDTRIP)
        self.fleet = Fleet()

    async def look_later(self) -> None:
        """Look, then wait `LOOK_EVERY_S`. A background task repeats it."""
        with suppress(RedisError, OSError):  # the reply reader reports it
            if self._looks % LOOKS_A_RENEWAL == 0:
                await self.renew()
            else:
                await self.look()
        self._looks += 1
        await asyncio.sleep(LOOK_EVERY_S)

    async def renew(self) -> None:
        """Read the heartbeats and the streams' lengths.

        Raises redis.exceptions.RedisError if Redis does not answer.
        """
        # Any: redis-py's union of all answers for a sorted set
        asked_s = time.perf_counter()
        newest: Any = await self._client.zrevrange(keys.workers(), 0, MOST_WORKERS - 1, withscores=True)
        self.roundtrips.add(time.perf_counter() - asked_s)
        seen_at_ms = {worker_id.decode(errors="replace"): int(at_ms) for worker_id, at_ms in newest}
        ids = list(seen_at_ms)
        pipeline = self._client.pipeline(transaction=False)
        for worker_id in ids:
            pipeline.hgetall(keys.worker(worker_id))
        records = [from_hash(answer) for answer in await pipeline.execute()]
        now_s = self._clock()
        heard = tuple(record for record in records if record is not None)
        workers = heard + self._without_heartbeat(heard, now_s)
        self.fleet = Fleet(
            read_at_s=now_s,
            workers=workers,
            returning=self._returning.see(workers, seen_at_ms.keys(), now_s),
            others_rows=self.fleet.others_rows,
            lives=_lives(seen_at_ms),
            seen_at_ms=seen_at_ms,
            identities=dict(self._identities),
        )
        await self.look()

    def _without_heartbeat(self, heard: Iterable[WorkerRecord], now_s: float) -> tuple[WorkerRecord, ...]:
        """Workers of the last snapshot without a heartbeat because Redis was away."""
        seen_s = self.fleet.read_at_s
        if seen_s is not None and now_s - seen_s > UNSEEN_S:
            self._believes_at_s = now_s + RETURN_S
        if now_s >= self._believes_at_s:
            return ()
        ids = {worker.id for worker in heard}
        return tuple(worker for worker in self.fleet.workers if worker.id not in ids)

    async def look(self) -> None:
        """Read the streams' lengths. Raises redis.exceptions.RedisError if Redis does not answer."""
        served = sorted(self.fleet.servers)
        pipeline = self._client.pipeline(transaction=False)
        for key in served:
            pipeline.xlen(keys.online(key))
        entries = dict(zip(served, await pipeline.execute(), strict=True))
        others = {key: max(0, entries[key] - self._own_entries(key)) for key in served}
        size = self.fleet.entry_rows
        self.fleet = replace(self.fleet, others_rows={key: n * size[key] for key, n in others.items()})


def _lives(seen_at_ms: Mapping[str, int]) -> Counter[str]:
    newest_ms = max(seen_at_ms.values(), default=0)
    return Counter(name_of(id_) for id_, at_ms in seen_at_ms.items() if newest_ms - at_ms <= RESTARTS_MS)
