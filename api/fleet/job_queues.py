"""Job queues of model versions, as this gateway last read them.

The cost of reading a queue grows with its jobs. A short queue is read for every response. A longer queue is
cached, in proportion to its length; a queue of `MOST_JOBS` jobs is read twice a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from shared.keys import ModelKey
from shared.ledger import AsyncLedger, QueueOrder

MOST_JOBS = 100
"""Most jobs of a queue that are read; jobs behind them are served later."""
SHORT = 10
"""Most jobs of a queue that is read every time."""
KEPT_S = 0.5
SUBMITTED_S = 0.002
"""How long a queue is cached that came with a submission: until the response that needs it."""


class JobQueues:
    """Reads and caches queues; a cached queue is at most half a second old."""

    def __init__(self, ledger: AsyncLedger, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._clock = clock
        self._kept: dict[ModelKey, tuple[float, QueueOrder]] = {}  # and until when

    def keep(self, key: ModelKey, order: QueueOrder) -> None:
        """Cache a short queue that was just read."""
        self._kept[key] = self._clock() + SUBMITTED_S, order

    async def of(self, key: ModelKey) -> QueueOrder:
        """The queue of a model version. Raises redis.exceptions.RedisError if Redis does not answer."""
        until_s, order = self._kept.get(key, (0.0, None))
        if order is not None and self._clock() < until_s:
            return order
        order = await self._ledger.line(key, most=MOST_JOBS)
        self._kept.pop(key, None)
        if len(order.jobs) > SHORT:
            self._kept[key] = (self._clock() + KEPT_S * len(order.jobs) / MOST_JOBS, order)
        return order
