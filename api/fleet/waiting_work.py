"""Waiting work of both lanes, read on demand and at most every `FRESH_S`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.fleet.fleet_watch import FleetWatch
from api.fleet.snapshot import Fleet
from api.fleet.worker_loads import WorkerLoads
from api.fleet.worker_orders import WorkerOrders
from shared.keys import ModelKey
from shared.lanes import Lanes, read_lanes


@dataclass(frozen=True)
class FleetState:
    """Live workers, their load, and waiting work."""

    watch: FleetWatch
    loads: WorkerLoads
    lanes: LaneWatch
    orders: WorkerOrders

    @property
    def now(self) -> Fleet:
        """The latest snapshot of the live workers."""
        return self.watch.fleet


FRESH_S = 0.5


class LaneWatch:
    """The lanes of every model version that this gateway knows, and of other versions with jobs."""

    def __init__(
        self,
        client: Redis,
        entry_rows: Callable[[], Mapping[ModelKey, float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._entry_rows = entry_rows
        self._clock = clock
        self._lanes: Lanes | RedisError = Lanes()
        """The result of the last look."""
        self._looked_at_s = float("-inf")
        self._reading = asyncio.Lock()

    async def lanes(self) -> Lanes:
        """The lanes, at most half a second old.

        Raises redis.exceptions.RedisError if Redis does not answer.
        """
        async with self._reading:  # concurrent callers share a read, and its error
            if self._clock() - self._looked_at_s >= FRESH_S:
                self._lanes = await self._look()
                self._looked_at_s = self._clock()
            if isinstance(self._lanes, RedisError):
                raise self._lanes.with_traceback(None)
            return self._lanes

    async def _look(self) -> Lanes | RedisError:
        try:
            return await read_lanes(self._client, self._entry_rows())
        except RedisError as error:
            return error
