"""Restarts ended processes after a short random delay, like compose."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

TURN_S = 0.05
PAUSES_S = (0.2, 2.0)


class Process(Protocol):
    """A process that receives signals and can be restarted."""

    @property
    def running(self) -> bool: ...

    @property
    def exit_status(self) -> int | None: ...

    def tell(self, how: signal.Signals) -> None: ...


@dataclass(frozen=True)
class Post:
    """A process, and the function that restarts it without waiting until it serves."""

    process: Process
    start: Callable[[], None]


class Supervisor(threading.Thread):
    """Supervises processes by name. Intended ends must be announced first."""

    def __init__(self, posts: Mapping[str, Post], seed: int) -> None:
        super().__init__(name="supervisor", daemon=True)
        self._posts = posts
        self._luck = random.Random(f"{seed} supervisor")
        self._due_s: dict[str, float] = {}
        self._expected: dict[str, threading.Event] = {}
        self._stopping = threading.Event()
        self.unasked: list[str] = []
        """Unexpected ends: `worker-1 ended with 70`."""

    def expect_end(self, name: str) -> threading.Event:
        """Returns an event that is set at its end."""
        return self._expected.setdefault(name, threading.Event())

    def stop(self) -> None:
        """Stop restarting processes."""
        self._stopping.set()
        self.join()

    def run(self) -> None:
        while not self._stopping.wait(TURN_S):
            for name, post in self._posts.items():
                if not post.process.running:
                    self._look_after(name, post, time.monotonic())

    def _look_after(self, name: str, post: Post, now_s: float) -> None:
        if name not in self._due_s:
            self._bury(name, post.process.exit_status)
            self._due_s[name] = now_s + self._luck.uniform(*PAUSES_S)
        elif now_s >= self._due_s[name]:
            post.start()
            del self._due_s[name]

    def _bury(self, name: str, status: int | None) -> None:
        if expected := self._expected.pop(name, None):
            expected.set()
        else:
            self.unasked.append(f"{name} ended with {status}")
