"""The lines that jobs stand in, as this gateway last read them.

Reading a line looks at each of its jobs. A short one is read for every answer; one that is full is read twice
a second, however many jobs are asked for or handed over meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from shared.keys import ModelKey
from shared.ledger import AsyncLedger, Line

MOST_IN_LINE = 100
"""Jobs of a line that are looked at: those behind them are not served before."""
KEPT_S = 0.5


class Lines:
    """Whoever asks while a full line is kept may find it half a second old."""

    def __init__(self, ledger: AsyncLedger, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._clock = clock
        self._full: dict[ModelKey, tuple[float, Line]] = {}

    async def of(self, key: ModelKey) -> Line:
        """Raises redis.exceptions.RedisError where the server does not answer."""
        read_s, line = self._full.get(key, (-KEPT_S, None))
        if line is not None and self._clock() - read_s < KEPT_S:
            return line
        line = await self._ledger.line(key, most=MOST_IN_LINE)
        self._full.pop(key, None)
        if len(line.jobs) == MOST_IN_LINE:
            self._full[key] = (self._clock(), line)
        return line
