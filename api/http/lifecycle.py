"""The lifecycle of a gateway process."""

from __future__ import annotations

import time


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
