"""The history of the last hour: writes this gateway's part, and reads the sum of all gateways.

Requests pay nothing for it: each write is a difference of totals that `api/telemetry/stages.py` keeps.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from redis.asyncio import Redis

from api.http.error_status import STATUS
from api.models.catalog import Catalog, Servable
from shared import keys
from shared.errors import (
    DeadlineExceededError,
    MessageUnreadableError,
    ModelNotLoadedError,
    OverloadedError,
    PredictionFailedError,
    ServiceError,
)
from shared.history import (
    Count,
    SlotCounts,
    add_to_slot,
    count_field,
    latency_field,
    read_slot,
    slots_until,
)
from shared.hourly_history import add_requests
from shared.keys import ModelKey

WRITE_EVERY_S = 5.0


class HistoryWriter:
    """Adds this gateway's measurements since the last write to the history."""

    def __init__(self, client: Redis, catalog: Catalog) -> None:
        self._client = client
        self._catalog = catalog
        self._written: Mapping[str, int] = {}

    async def write_later(self) -> None:
        """Wait five seconds, then write. Raises redis.exceptions.RedisError if Redis does not answer."""
        await asyncio.sleep(WRITE_EVERY_S)
        await self.write()

    async def write(self) -> None:
        known = {name: n for one in self._catalog.servables for name, n in totals_of(one).items() if n}
        new = Counter(known)
        new.subtract(self._written)
        if not any(new.values()):
            return
        seconds, _ = await self._client.time()
        pipeline = self._client.pipeline(transaction=True)
        grown = {name: n for name, n in new.items() if n}
        add_to_slot(pipeline, seconds, grown)
        add_requests(pipeline, seconds, grown)
        await pipeline.execute()
        self._written = known


def totals_of(servable: Servable) -> dict[str, int]:
    """Totals of a model version since this gateway started, by field of the history."""
    key, times = servable.key, servable.times
    return {
        count_field(key, Count.REQUESTS): times.request_rows.count,
        count_field(key, Count.ROWS): round(times.request_rows.total),
        count_field(key, Count.PREDICT_US): round(times.stages_ms["predict"].total * 1000),
        count_field(key, Count.ERRORS): _errors(servable.counters.failed),
        count_field(key, Count.SHED): servable.counters.failed[OverloadedError.code],
        count_field(key, Count.UNSERVED): servable.counters.failed[ModelNotLoadedError.code],
        count_field(key, Count.FAILED): sum(servable.counters.failed[code] for code in FAILURES),
    } | {latency_field(key, bucket): n for bucket, n in enumerate(times.latencies)}


FAILURES = (
    PredictionFailedError.code,
    DeadlineExceededError.code,
    ServiceError.code,
    MessageUnreadableError.code,
)
"""Failures after admission; the alert TaktPredictionsFail counts the same."""


def _errors(failed: Mapping[str, int]) -> int:
    """Number of failures caused by the service (5xx), not by clients. `failed`: failures by code."""
    return sum(number for code, number in failed.items() if STATUS.get(code, 0) >= 500)


async def read_history(client: Redis) -> tuple[float, dict[int, dict[ModelKey, SlotCounts]]]:
    """→ Redis' time in s, and the slots of the last hour by their start, oldest first

    Raises redis.exceptions.RedisError if Redis does not answer.
    """
    seconds, micros = await client.time()
    starts = slots_until(seconds)
    pipeline = client.pipeline(transaction=False)
    for start in starts:
        pipeline.hgetall(keys.history(start))
    found = zip(starts, await pipeline.execute(), strict=True)
    return seconds + micros / 1e6, {start: read_slot(fields) for start, fields in found}
