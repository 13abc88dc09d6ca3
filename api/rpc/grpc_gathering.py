"""Gathers calls that arrive almost together, so that their rows share a command to Redis and a batch.

Over HTTP, the requests of many connections arrive in one turn of the event loop. gRPC's poller thread hands
calls over one at a time, in turns of their own; without gathering, each would be sent alone.
"""

from __future__ import annotations

import asyncio

QUIET_TURNS = 20
"""The gathered calls go on after so many turns of the event loop without another call."""
LONGEST_S = 0.01


class Gathering:
    """Holds calls back for a few turns of the event loop while other calls are in progress."""

    def __init__(self) -> None:
        self._in_progress = 0
        self._released: asyncio.Future[None] | None = None
        self._arrived = 0
        """Calls since this gathering began."""
        self._seen = self._quiet = 0
        self._until_s = 0.0

    def __enter__(self) -> None:
        self._in_progress += 1

    def __exit__(self, *_: object) -> None:
        self._in_progress -= 1

    async def wait(self) -> None:
        """Wait for the calls that arrive together with this one. A call alone does not wait."""
        if self._in_progress < 2:
            return
        if self._released is None:
            self._begin()
        self._arrived += 1
        assert self._released is not None
        await asyncio.shield(self._released)  # a cancelled call must not release the others

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._released = loop.create_future()
        self._arrived = self._seen = self._quiet = 0
        self._until_s = loop.time() + LONGEST_S
        loop.call_soon(self._turn)

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        self._quiet = self._quiet + 1 if self._arrived == self._seen else 0
        self._seen = self._arrived
        if self._quiet < QUIET_TURNS and loop.time() < self._until_s:
            loop.call_soon(self._turn)
            return
        assert self._released is not None
        self._released.set_result(None)
        self._released = None
