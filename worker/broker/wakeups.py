"""How this worker's threads answer doorbells and ring them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from shared.doorbells import Ring
from shared.keys import ModelKey

TURN_S = 0.5
"""How long a thread stays with a model version that has more chunks, before another doorbell has its turn."""


class Doorbells:
    """A Ring. What a thread rings for the model version that it is at work on, it answers itself: small
    chunks would otherwise cost more in Celery than they take to run.

    A doorbell that is lost here, by a fault, is one of those that the reconciler rings again.
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
        """Run the next chunk, and the next while this thread rings for more and its turn lasts.

        `run_next` → whether it ran one: a worker that is stopping does not, and leaves the rest to others.
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
    """What a thread knows of its turn."""

    key: ModelKey | None = None
    rung: bool = False
