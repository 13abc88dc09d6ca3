"""Whether this gateway starts, serves or stops."""

from __future__ import annotations

import time


class Lifecycle:
    """The state of one gateway process. `api/server/serving.py` changes it."""

    def __init__(self) -> None:
        self.started_s = time.monotonic()
        self.draining = False
        """It was asked to stop: it is not ready, and answers with `Connection: close`."""
        self.leaving = False
        """It accepts no new connection: event streams end now."""

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self.started_s

    def drain(self) -> None:
        self.draining = True

    def leave(self) -> None:
        self.draining = self.leaving = True
