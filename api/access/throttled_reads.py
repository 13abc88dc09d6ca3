"""A read that many requests share, at a limited rate.

Each caller shares the next read that begins: a read under way may have passed the point at which the wanted
record was written. At least `every_s` passes between the starts of two reads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


class ThrottledRead:
    """Runs `look` for all waiting callers together, never twice at a time."""

    def __init__(
        self,
        look: Callable[[], Awaitable[None]],
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._every_s = every_s
        self._clock = clock
        self._begun_s = float("-inf")
        self._next: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    async def __call__(self) -> None:
        """Wait for the end of a read that began after this call. Raises the errors of `look`."""
        if self._next is None:
            self._next = asyncio.create_task(self._run())
        await asyncio.shield(self._next)  # a canceled caller must not cancel the read of the others

    async def _run(self) -> None:
        async with self._lock:
            await asyncio.sleep(max(0.0, self._begun_s + self._every_s - self._clock()))
            self._begun_s, self._next = self._clock(), None
            await self._look()
