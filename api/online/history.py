"""This gateway's part in the history of the last hour, and the whole of it as all have written it.

Nothing here touches a request: what is new is the difference of sums that `api/telemetry/stages.py` keeps
anyway.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from redis.asyncio import Redis

from api.http.errors import STATUS
from api.models.catalog import Catalog, Servable
from shared import keys
from shared.history import (
    Count,
    SlotCounts,
    add_to_slot,
    count_field,
    latency_field,
    read_slot,
    slots_until,
)
from shared.keys import ModelKey

WRITE_EVERY_S = 5.0


class HistoryWriter:
    """Adds to the history what this gateway has measured since it last did."""

    def __init__(self, client: Redis, catalog: Catalog) -> None:
        self._client = client
        self._catalog = catalog
        self._told: Mapping[str, int] = {}

    async def write_later(self) -> None:
        """One turn: rest, then write. Raises redis.exceptions.RedisError where the server does not answer."""
        await asyncio.sleep(WRITE_EVERY_S)
        await self.write()

    async def write(self) -> None:
        known = {name: n for one in self._catalog.servables for name, n in _sums(one).items() if n}
        new = Counter(known)
        new.subtract(self._told)
        if not any(new.values()):
            return
        seconds, _ = await self._client.time()
        pipeline = self._client.pipeline(transaction=True)
        add_to_slot(pipeline, seconds, {name: n for name, n in new.items() if n})
        await pipeline.execute()
        self._told = known


def _sums(servable: Servable) -> dict[str, int]:
    """All that was counted of a model version since this gateway started, by the history's fields."""
    key, times = servable.key, servable.times
    return {
        count_field(key, Count.REQUESTS): times.request_rows.count,
        count_field(key, Count.ROWS): round(times.request_rows.total),
        count_field(key, Count.ERRORS): _errors(servable.tally.failed),
    } | {latency_field(key, bucket): n for bucket, n in enumerate(times.latencies)}


def _errors(failed: Mapping[str, int]) -> int:
    """Of requests that were not answered, by code: those that the service failed, not their client."""
    return sum(number for code, number in failed.items() if STATUS.get(code, 0) >= 500)


async def read_history(client: Redis) -> tuple[float, dict[int, dict[ModelKey, SlotCounts]]]:
    """→ Redis' time in s, and the slots of the last hour by their start, oldest first.

    Raises redis.exceptions.RedisError where the server does not answer.
    """
    seconds, micros = await client.time()
    starts = slots_until(seconds)
    pipeline = client.pipeline(transaction=False)
    for start in starts:
        pipeline.hgetall(keys.history(start))
    found = zip(starts, await pipeline.execute(), strict=True)
    return seconds + micros / 1e6, {start: read_slot(fields) for start, fields in found}
