"""Whether Redis answers this gateway and accepts work. Set by the users of Redis; changes are logged."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

import structlog

from api.http.error_answers import unavailable
from shared.backoff import Backoff
from shared.errors import ServiceError

log = structlog.get_logger()

BACKOFF = Backoff(first_s=0.05, longest_s=1.0)


class RedisStatus:
    """The state of the connection to Redis. It is down until its first successful use."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._up_since_s = math.inf
        self.up = False
        self.takes_work = True
        """Whether writes succeed: not while Redis' memory or disk is full, or if it is a replica."""
        self.refusal = ""
        """The server's reason while they do not."""
        self.breaks = 0
        """Number of breaks. Keys created before the last break may be gone."""
        self.reached = asyncio.Event()
        """Set by the first successful use."""
        self._failures = 0

    def works(self) -> None:
        if not self.up:
            log.info("queue_reached")
            self.reached.set()
            self._up_since_s = self._clock()
        self.up = True
        self._failures = 0

    def broke(self, error: Exception) -> None:
        if self.up or not self._failures:
            log.warning("queue_lost", error=_name(error))
        self.up = False
        self.breaks += 1
        self._failures += 1

    def judge(self, refusal: Exception | None) -> None:
        """Record the outcome of a write: None, or the server's error."""
        if refusal is not None and self.takes_work:
            log.warning("queue_refuses", error=str(refusal))
        elif refusal is None and not self.takes_work:
            log.info("queue_takes_work")
        self.takes_work = refusal is None
        self.refusal = "" if refusal is None else str(refusal)

    def up_s(self) -> float:
        """Seconds since the connection was established; 0 while Redis does not answer."""
        return max(0.0, self._clock() - self._up_since_s) if self.up else 0.0

    @property
    def open(self) -> bool:
        """Whether Redis answers and accepts work."""
        return self.up and self.takes_work

    @property
    def backoff_s(self) -> float:
        """Wait before the next attempt: doubled by each consecutive failure."""
        return BACKOFF.pause_s(self._failures + 1)

    def require(self) -> None:
        """Raises QueueUnavailable if Redis does not answer."""
        if not self.up:
            raise unavailable()

    def require_open(self) -> None:
        """Raises QueueUnavailable if Redis does not answer or accepts no work."""
        if not self.open:
            raise unavailable()


def _name(error: Exception) -> str:
    # only the type of other errors: their message may contain the URL and its password
    return error.detail if isinstance(error, ServiceError) else type(error).__name__
