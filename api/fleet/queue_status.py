"""Whether Redis answers this gateway, and takes work: set by those who talk to it, logged when it turns."""

from __future__ import annotations

import structlog

from api.http.unavailable import unavailable
from shared.errors import TaktError

log = structlog.get_logger()

FIRST_BACKOFF_S = 0.05
LONGEST_BACKOFF_S = 1.0


class QueueStatus:
    """The state of the way to Redis. It is down until it was used once."""

    def __init__(self) -> None:
        self.up = False
        self.takes_work = True
        """Where it answers: not so while its memory or its disk is full, or it is a replica."""
        self.breaks = 0
        """How often it broke: what was made before the last break may be gone."""
        self._failures = 0

    def works(self) -> None:
        if not self.up:
            log.info("queue_reached")
        self.up = True
        self._failures = 0

    def broke(self, error: Exception) -> None:
        if self.up or not self._failures:
            log.warning("queue_lost", error=_name(error))
        self.up = False
        self.breaks += 1
        self._failures += 1

    def judge(self, refusal: Exception | None) -> None:
        """What the server said to a write: nothing against it, or why not."""
        if refusal is not None and self.takes_work:
            log.warning("queue_refuses", error=str(refusal))
        elif refusal is None and not self.takes_work:
            log.info("queue_takes_work")
        self.takes_work = refusal is None

    @property
    def open(self) -> bool:
        """Whether work can be handed over now."""
        return self.up and self.takes_work

    @property
    def backoff_s(self) -> float:
        """How long to wait before the next try: doubled by every failure in a row."""
        return min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(self._failures, 10))

    def require(self) -> None:
        """Raises QueueUnavailable where Redis does not answer now."""
        if not self.up:
            raise unavailable()

    def require_open(self) -> None:
        """Raises QueueUnavailable where Redis does not answer, or takes no work, now."""
        if not self.open:
            raise unavailable()


def _name(error: Exception) -> str:
    # of a foreign error the type only: its message may hold the URL and its password
    return error.detail if isinstance(error, TaktError) else type(error).__name__
