"""How a worker's threads answer and send doorbells."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from shared.doorbells import Notify
from shared.keys import ModelKey

TURN_S = 0.5
"""How long a thread stays with a model version before it answers another doorbell."""


class OwnDoorbells:
    """A `Notify` that answers its own doorbells: if a thread notifies the model version that it is running,
    it runs the next chunk itself. For small chunks a Celery message costs more than the chunk.

    If a fault loses such a doorbell, the reconciler sends another.
    """

    def __init__(self, notify: Notify, clock: Callable[[], float] = time.monotonic) -> None:
        self._notify = notify
        self._clock = clock
        self._mine = _Mine()

    def __call__(self, key: ModelKey, count: int) -> None:
        if count and key == self._mine.key:
            self._mine.notified = True
            count -= 1
        if count:
            self._notify(key, count)

    def answer(self, key: ModelKey, run_next: Callable[[ModelKey], bool]) -> None:
        """Run the next chunk, and more while this thread notifies the same model version, for up to TURN_S.

        `run_next` → whether it ran a chunk. A worker that is stopping runs none and leaves the rest to
        others.
        """
        turn_ends_s = self._clock() + TURN_S
        self._mine.key, self._mine.notified = key, False
        goes_on = True
        try:
            run_next(key)
            while self._mine.notified and goes_on and self._clock() < turn_ends_s:
                self._mine.notified = False
                goes_on = run_next(key)
        finally:
            self._mine.key = None
        if self._mine.notified or not goes_on:
            self._notify(key, 1)


class _Mine(threading.local):
    """State of a thread's turn."""

    key: ModelKey | None = None
    notified: bool = False
