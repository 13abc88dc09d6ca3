"""Connection timeouts: a client that sends no request head within `TAKT_HEAD_LIMIT_S` gets 408.

One timer checks all connections of a gateway.

uvicorn sets a timer after every response and cancels it with the next request, which costs more CPU time than
parsing the request. The timeouts need no such precision.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from enum import Enum, auto
from typing import Protocol

from shared.errors import RequestTimeoutError

SWEEP_EVERY_S = 0.5


class WaitPhase(Enum):
    """The data that a connection expects from its client."""

    HEAD = auto()
    """The first request, or the rest of a head."""
    BODY = auto()
    """The rest of a small body, see `api/server/fast_path.py`."""
    NEXT = auto()
    """Another request on a kept connection."""
    NOTHING = auto()
    """None: a request is in progress. The code that reads its body has its own limit."""


class TimedConnection(Protocol):
    """A connection that can time out."""

    def check_timeout(self, now_s: float) -> None:
        """Close the connection if its client has taken too long. `now_s` is the event loop's time."""
        ...


class ConnectionTimeouts:
    """Checks every connection of a server periodically, as long as there are connections."""

    def __init__(self, head_limit_s: float) -> None:
        """`head_limit_s`: how long the gateway waits for the head of a request (`TAKT_HEAD_LIMIT_S`)."""
        self.head_limit_s = head_limit_s
        self.every_s = min(SWEEP_EVERY_S, head_limit_s)
        self._runs = False

    def late_head(self) -> RequestTimeoutError:
        """The error for a client whose head did not arrive in time."""
        return RequestTimeoutError(f"The request head did not arrive within {self.head_limit_s:g} s.")

    def watch(self, connections: Collection[TimedConnection], loop: asyncio.AbstractEventLoop) -> None:
        """Start the timer for this live collection of connections. Does nothing if the timer runs."""
        if not self._runs:
            self._runs = True
            loop.call_later(self.every_s, self._sweep, connections, loop)

    def _sweep(self, connections: Collection[TimedConnection], loop: asyncio.AbstractEventLoop) -> None:
        self._runs = False
        if connections:
            self.watch(connections, loop)
        now_s = loop.time()
        for connection in list(connections):
            connection.check_timeout(now_s)
