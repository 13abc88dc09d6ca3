"""Keeps the parts running: starts them in order, restarts what crashes, ends them in order.

One thread; it looks at every part a few times a second. What it does is told to a `SupervisorEvents`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

from stack.errors import CommandError, ServiceFailed
from stack.process_group import ProcessGroup
from stack.restarts import Backoff, Crashes
from stack.services import Layer, Service, ServiceProcess

TURN_S = 0.1
START_LIMIT_S = 180.0
_LAST_LINES = 12


class SupervisorEvents(Protocol):
    """Who is told what happens."""

    def ready(self, part: str, what: str, took_s: float) -> None: ...
    def crashed(
        self, part: str, how: str, crashes: Crashes, pause_s: float, last_lines: list[str]
    ) -> None: ...
    def stopping(self, part: str) -> None: ...
    def killed(self, part: str, grace_s: float) -> None: ...


@dataclass
class _Post:
    """A part's place in the stack: its life now, and its crashes so far."""

    part: Service
    life: ServiceProcess | None = None
    crashes: Crashes = field(default_factory=Crashes)
    start_at_s: float = 0.0  # monotonic; when the next life may begin


class Supervisor:
    """Owns the parts' processes."""

    def __init__(
        self,
        parts: Sequence[Service],
        leash: ProcessGroup,
        report: SupervisorEvents,
        backoff: Backoff | None = None,
    ) -> None:
        self._posts = [_Post(part) for part in sorted(parts, key=lambda part: part.layer)]
        self._leash = leash
        self._report = report
        self._backoff = backoff or Backoff()

    def start(self) -> None:
        """Start all parts; returns once each is ready. Raises ServiceFailed, or Refusal after too long."""
        queue = [post for post in self._posts if post.part.layer is Layer.QUEUE]
        for posts in (queue, [post for post in self._posts if post not in queue]):
            for post in posts:
                post.life = ServiceProcess(post.part, self._leash.group)
            self._wait_ready(posts)

    def _wait_ready(self, posts: list[_Post]) -> None:
        limit_s = time.monotonic() + START_LIMIT_S
        while waiting := [post for post in posts if not self._became_ready(post)]:
            for post in self._posts:
                self._fail_if_ended(post)
            if time.monotonic() > limit_s:
                names = ", ".join(post.part.name for post in waiting)
                raise CommandError(
                    f"{names} is not ready after {START_LIMIT_S:.0f} s; see {waiting[0].part.log.path}"
                )
            time.sleep(TURN_S)

    def _became_ready(self, post: _Post) -> bool:
        life = post.life
        if life is not None and not life.ready and (what := post.part.ready(life.pid)) is not None:
            life.ready = True
            self._report.ready(post.part.name, what, life.lived_s())
        return life is not None and life.ready

    @staticmethod
    def _fail_if_ended(post: _Post) -> None:
        if post.life is not None and (how := post.life.ended()):
            raise ServiceFailed(post.part.name, how, post.life.last_lines(_LAST_LINES))

    def watch(self) -> None:
        """Keep the parts running. Ends only by an exception, such as KeyboardInterrupt."""
        while True:
            self.turn()
            time.sleep(TURN_S)

    def turn(self) -> None:
        """Look at every part once, and do what is due."""
        self._leash.mend()
        for post in self._posts:
            self._look_at(post)

    def _look_at(self, post: _Post) -> None:
        post.part.log.bound()
        if post.life is None:
            if time.monotonic() >= post.start_at_s:
                post.life = ServiceProcess(post.part, self._leash.group)
        elif how := post.life.ended():
            self._bury(post, post.life, how)
        else:
            self._became_ready(post)

    def _bury(self, post: _Post, life: ServiceProcess, how: str) -> None:
        post.life = None
        post.crashes = post.crashes.after(life.lived_s(), self._backoff)
        pause_s = post.crashes.pause_s(self._backoff)
        post.start_at_s = time.monotonic() + pause_s
        self._report.crashed(post.part.name, how, post.crashes, pause_s, life.last_lines(_LAST_LINES))

    def stop(self) -> None:
        """End all parts from the top layer down; one that outlasts its grace is killed."""
        for _, layer in groupby(reversed(self._posts), key=lambda post: post.part.layer):
            lives = [post.life for post in layer if post.life is not None and not post.life.ended()]
            for life in lives:
                self._report.stopping(life.part.name)
                life.terminate()
            limit_s = time.monotonic() + max((life.part.grace_s for life in lives), default=0.0)
            for life in lives:
                if not life.wait(max(0.0, limit_s - time.monotonic())):
                    self._report.killed(life.part.name, life.part.grace_s)
                    life.kill()
                    life.wait(5.0)
