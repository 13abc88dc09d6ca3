"""The lifecycle of a gateway process, and its background tasks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

log = structlog.get_logger()

PAUSE_AFTER_BUG_S = 1.0


class Lifecycle:
    """The state of a gateway process. `api/server/serving.py` changes it."""

    def __init__(self) -> None:
        self.started_s = time.monotonic()
        self.draining = False
        """Shutdown has begun: the gateway is not ready, and responses carry `Connection: close`."""
        self.leaving = False
        """The gateway accepts no new connections, and event streams end."""

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self.started_s

    def drain(self) -> None:
        self.draining = True

    def leave(self) -> None:
        self.draining = self.leaving = True


class BackgroundTasks:
    """Tasks that each repeat one step until all are stopped together."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    def start(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        self._tasks.append(asyncio.create_task(self._repeat(name, step), name=name))

    async def stop(self) -> None:
        self._stopping = True  # a client library may swallow the cancellation; this flag ends the loop then
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()

    async def _repeat(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        # an unexpected error in a step is logged, and the loop continues
        while not self._stopping:
            try:
                await step()
            except Exception:
                log.exception("loop_step_failed", loop=name)
                await asyncio.sleep(PAUSE_AFTER_BUG_S)
