"""How long clients keep a gateway waiting: one timer for all of its connections.

uvicorn sets a timer for every request, and takes it back as the next one comes. Two of those cost more than
reading a request; whether somebody has waited ten seconds or eleven matters to nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from enum import Enum, auto
from typing import Protocol

SWEEP_EVERY_S = 0.5


class WaitPhase(Enum):
    """What a connection waits for from its client."""

    HEAD = auto()
    """the rest of a request's head, or the first byte of the first one"""
    BODY = auto()
    """the rest of a small body, see `api/server/fast_path.py`"""
    NEXT = auto()
    """another request, or none"""
    NOTHING = auto()
    """nothing: it is answered, or read by somebody who has a limit of his own"""


class TimedConnection(Protocol):
    """A connection."""

    def look(self, now_s: float) -> None:
        """Let go of a client that has taken too long. `now_s`: by the loop's clock."""
        ...


class ConnectionTimeouts:
    """Looks at every connection of one server, twice a second, for as long as there are any."""

    def __init__(self, every_s: float = SWEEP_EVERY_S) -> None:
        self.every_s = every_s
        self._runs = False

    def watch(self, connections: Collection[TimedConnection], loop: asyncio.AbstractEventLoop) -> None:
        """Go on looking at these, which are more from now on. Does nothing where that is done already."""
        if not self._runs:
            self._runs = True
            loop.call_later(self.every_s, self._sweep, connections, loop)

    def _sweep(self, connections: Collection[TimedConnection], loop: asyncio.AbstractEventLoop) -> None:
        self._runs = False
        if connections:
            self.watch(connections, loop)
        now_s = loop.time()
        for connection in list(connections):
            connection.look(now_s)
