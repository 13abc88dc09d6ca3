"""How a worker's threads answer doorbells and ring them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from shared.doorbells import Ring
from shared.keys import ModelKey

TURN_S = 0.5
"""How long a thread stays with a model version before it answers another doorbell."""


class Doorbells:
    """A `Ring` that answers its own doorbells: if a thread rings for the model version that it is running, it
    runs the next chunk itself. For small chunks a Celery message costs more than the chunk.

    If a fault loses such a doorbell, the reconciler rings again.
    """

    def __init__(self, ring: Ring, clock: Callable[[], float] = time.monotonic) -> None:
        self._ring = ring
        self._clock = clock
        self._mine = _Mine()

    def __call__(self, key: ModelKey, count: int) -> None:
        if count and key == self._mine.key:
            self._mine.rung = True
            count -= 1
        if count:
            self._ring(key, count)

    def answer(self, key: ModelKey, run_next: Callable[[ModelKey], bool]) -> None:
        """Run the next chunk, and more while this thread rings for the same model version, for up to TURN_S.

        `run_next` → whether it ran a chunk. A worker that is stopping runs none and leaves the rest to
        others.
        """
        turn_ends_s = self._clock() + TURN_S
        self._mine.key, self._mine.rung = key, False
        goes_on = True
        try:
            run_next(key)
            while self._mine.rung and goes_on and self._clock() < turn_ends_s:
                self._mine.rung = False
                goes_on = run_next(key)
        finally:
            self._mine.key = None
        if self._mine.rung or not goes_on:
            self._ring(key, 1)


class _Mine(threading.local):
    """State of a thread's turn."""

    key: ModelKey | None = None
    rung: bool = False
