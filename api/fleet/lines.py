"""The lines that jobs stand in, as this gateway last read them.

Reading a line looks at each of its jobs. A short one is read for every answer; a longer one is kept for a
while, the longer the more jobs it has, however many are asked for or handed over meanwhile: a full one is
read twice a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from shared.keys import ModelKey
from shared.ledger import AsyncLedger, QueueOrder

MOST_IN_LINE = 100
"""Jobs of a line that are looked at: those behind them are not served before."""
SHORT = 10
"""Jobs of a line that is read each time."""
KEPT_S = 0.5
TOLD_S = 0.002
"""How long a line is kept that came with something else: until the answer of which it is a part."""


class QueueOrders:
    """Whoever asks while a line is kept may find it half a second old."""

    def __init__(self, ledger: AsyncLedger, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._clock = clock
        self._kept: dict[ModelKey, tuple[float, QueueOrder]] = {}  # and until when

    def told(self, key: ModelKey, line: QueueOrder) -> None:
        """A short line as it is just now."""
        self._kept[key] = self._clock() + TOLD_S, line

    async def of(self, key: ModelKey) -> QueueOrder:
        """Raises redis.exceptions.RedisError where the server does not answer."""
        until_s, line = self._kept.get(key, (0.0, None))
        if line is not None and self._clock() < until_s:
            return line
        line = await self._ledger.line(key, most=MOST_IN_LINE)
        self._kept.pop(key, None)
        if len(line.jobs) > SHORT:
            self._kept[key] = (self._clock() + KEPT_S * len(line.jobs) / MOST_IN_LINE, line)
        return line
