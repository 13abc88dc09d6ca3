"""Virtual time: a queue of actions in the order of their times, without real waiting."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

Action = Callable[[], None]


class VirtualClock:
    """Seconds since the start of the simulation. Actions at the same time run in the order of scheduling."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._planned: list[tuple[float, int, Action]] = []
        self._order = count()

    def after(self, delay_s: float, action: Action) -> None:
        heapq.heappush(self._planned, (self.now_s + delay_s, next(self._order), action))

    def run(self, until_s: float) -> None:
        """Run all actions due before `until_s`."""
        while self._planned and self._planned[0][0] < until_s:
            self.now_s, _, action = heapq.heappop(self._planned)
            action()
        self.now_s = until_s


class Station:
    """A serial resource with first-come, first-served order, such as an event loop or a server's thread."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._free_s = 0.0
        self.busy_s = 0.0

    def serve(self, takes_s: float, then: Action) -> None:
        self._free_s = max(self._free_s, self._clock.now_s) + takes_s
        self.busy_s += takes_s
        self._clock.after(self._free_s - self._clock.now_s, then)
