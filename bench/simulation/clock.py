"""Virtual time: what is due next happens next, and nobody waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

Action = Callable[[], None]


class VirtualClock:
    """Seconds since the simulation began. Actions of one moment run in the order of their planning."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._planned: list[tuple[float, int, Action]] = []
        self._order = count()

    def after(self, delay_s: float, action: Action) -> None:
        heapq.heappush(self._planned, (self.now_s + delay_s, next(self._order), action))

    def run(self, until_s: float) -> None:
        """Let everything happen that is due before `until_s`."""
        while self._planned and self._planned[0][0] < until_s:
            self.now_s, _, action = heapq.heappop(self._planned)
            action()
        self.now_s = until_s


class Station:
    """Something that does one thing at a time, first come, first served: an event loop, a server's thread."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._free_s = 0.0
        self.busy_s = 0.0

    def serve(self, takes_s: float, then: Action) -> None:
        self._free_s = max(self._free_s, self._clock.now_s) + takes_s
        self.busy_s += takes_s
        self._clock.after(self._free_s - self._clock.now_s, then)
