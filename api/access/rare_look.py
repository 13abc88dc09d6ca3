"""A look at Redis that many requests may ask for, and that is made only so often.

Whoever asks shares the next look that begins: one that is under way may have read before what is looked for
was written. However many ask, `every_s` passes between the begins of two looks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


class RareLook:
    """Runs `look` for all that wait for it, one at a time."""

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
        """Return once a look has ended that began after this call. Raises what `look` raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._run())
        await asyncio.shield(self._next)  # one that leaves must not end it for the others

    async def _run(self) -> None:
        async with self._lock:
            await asyncio.sleep(max(0.0, self._begun_s + self._every_s - self._clock()))
            self._begun_s, self._next = self._clock(), None
            await self._look()
