"""The fork server of a group, and its successor after versions were removed.

A fork server cannot give memory back. So a successor opens the versions that are still wanted, beside the
present fork server; then workers come from the successor, and the old fork server ends. A fork server that
ends by itself is started again, with the delays of `shared/backoff.py`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from shared.backoff import RestartHistory
from shared.exit_status import ending
from shared.settings import Settings
from shared.worker_records import SupervisorFacts
from worker.control.channel import Channel, ChannelClosedError
from worker.control.control_messages import ForkReply
from worker.control.operating_system import is_linux
from worker.supervision.fork_server_link import ForkServerLink, Order
from worker.supervision.memory_budget import MemoryBudget

log = structlog.get_logger(__name__)

MOST_EARLY_ENDS = 3
"""Fork servers that may end in a row before they are ready; after that the workers load for themselves."""


def why_not_forked(settings: Settings) -> str:
    """Why the workers of this machine load their models for themselves; empty: they are forked."""
    if settings.fork == "never":
        return "set by TAKT_FORK"
    return "" if is_linux() else "processes are forked on Linux only"


@dataclass(frozen=True)
class GroupContext:
    """The parts of a supervisor that its groups share."""

    settings: Settings
    selector: selectors.BaseSelector
    facts: Callable[[], SupervisorFacts]
    on_environments: Callable[[Sequence[str]], None]
    on_deployed: Callable[[dict[str, list[str]]], None]
    budget: MemoryBudget
    clock: Callable[[], float] = time.monotonic
    early_ends: dict[int, int] = field(default_factory=dict)
    """pid → status of processes that ended before they were known."""

    def register(self, channel: Channel, read: Callable[[], None]) -> None:
        """Call `read` whenever the channel has data."""
        self.selector.register(channel, selectors.EVENT_READ, read)

    def unregister(self, channel: Channel) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(channel)


class ForkServerOwner(Protocol):
    """A group, as its fork servers call it."""

    def answered(self, server: ForkServerLink, reply: ForkReply) -> None:
        """A fork server has sent this."""

    def not_forked(self, order: Order, reason: str) -> None:
        """An order has no effect."""

    def opening_failed(self, key: str, how: str) -> None:
        """A fork server ended while it opened this version."""

    def fork_server_ended(self, how: str) -> None:
        """A fork server ended by itself, or could not be started."""

    def load_in_workers(self, reason: str) -> None:
        """Fork servers cannot be used."""


class ForkServers:
    """Starts, replaces and ends the fork servers of a group."""

    def __init__(self, context: GroupContext, python: Path | None, owner: ForkServerOwner) -> None:
        """`python`: the interpreter of an environment; None: the supervisor's own."""
        self._context = context
        self._python = python
        self._owner = owner
        self.current: ForkServerLink | None = None
        """The fork server from which workers come."""
        self.successor: ForkServerLink | None = None
        self._spare: ForkServerLink | None = None
        """A fork server that has opened nothing, so that a successor needs no imports."""
        self._is_outdated = False
        self._is_stopped = False
        self._history = RestartHistory()
        self._start_at_s = 0.0
        self._since_s = 0.0

    @property
    def newest(self) -> ForkServerLink | None:
        """The fork server that opens versions: the successor, or else the current fork server."""
        return self.successor or self.current

    @property
    def awaits_forks(self) -> bool:
        """Whether a process may exist that is not announced yet."""
        return any(server is not None and server.awaits_forks for server in (self.current, self.successor))

    def due_s(self) -> float:
        """When a fork server is to be started."""
        return self._start_at_s if self.current is None and not self._is_stopped else float("inf")

    @property
    def _all(self) -> list[ForkServerLink]:
        return [server for server in (self.current, self.successor, self._spare) if server is not None]

    def drop(self, keys: set[str]) -> None:
        """These versions are not wanted any more: replace the fork servers that have them."""
        if self.current is not None and keys & self.current.fingerprints.keys():
            self.current.drop(keys)
            self._is_outdated = True
        if self.successor is not None and keys & self.successor.fingerprints.keys():
            self.successor.kill()

    def keep_spare(self, parent: ForkServerLink) -> None:
        """Fork the spare, which has opened no version, if there is none. `parent` is fresh."""
        if self._spare is None:
            self._spare = self._connected(parent.start_spare())

    def lose_spare(self, spare: ForkServerLink) -> None:
        """The spare could not be forked."""
        self._spare = None
        self._retire(spare, "it was not forked")

    def start_due(self, now_s: float, deployed: Mapping[str, list[str]]) -> None:
        """Start the fork server and its successor if they are due."""
        if self._is_stopped or now_s < self._start_at_s:
            return
        if self.current is None:
            self._start(now_s, deployed)
        if self._is_outdated and self.successor is None:
            with contextlib.suppress(OSError):
                self.successor = self._new(deployed)

    def switch(self, are_settled: Callable[[set[str]], bool]) -> bool:
        """Take workers from the successor once it holds everything that is verified. → whether they now do"""
        after, before = self.successor, self.current
        if after is None or not after.is_listed:
            return False
        if before is not None and not are_settled(set(after.opened)):
            return False
        self.current, self.successor, self._is_outdated = after, None, False
        if before is not None:
            self._retire(before, "its fork server was replaced")
        return True

    def stop(self, reason: str) -> None:
        """End the fork servers and start no more. `reason`: of the orders that have no effect."""
        if self._is_stopped:
            return
        self._is_stopped = True
        for server in self._all:
            self._retire(server, reason)

    def reaped(self, pid: int, status: int) -> bool:
        """A process of the supervisor has ended. → whether it was a fork server of this group."""
        for server in self._all:
            if server.pid == pid:
                self._ended(server, ending(os.waitstatus_to_exitcode(status)))
                return True
        return False

    def _start(self, now_s: float, deployed: Mapping[str, list[str]]) -> None:
        try:
            self.current = self._new(deployed)
        except OSError as error:
            self._ended_early(f"cannot be started: {error.strerror}", now_s)
        else:
            self._since_s = now_s

    def _new(self, deployed: Mapping[str, list[str]]) -> ForkServerLink:
        if self._spare is None or not self._spare.pid:
            return self._connected(ForkServerLink.start(deployed, self._python))
        server, self._spare = self._spare, None
        server.list_versions(deployed)
        return server

    def _connected(self, server: ForkServerLink) -> ForkServerLink:
        self._context.register(server.channel, lambda: self._read(server))
        return server

    def _read(self, server: ForkServerLink) -> None:
        try:
            replies = server.replies()
        except ChannelClosedError:
            self._context.unregister(server.channel)  # it is reaped soon
            return
        for reply in replies:
            self._owner.answered(server, reply)

    def _retire(self, server: ForkServerLink, reason: str) -> None:
        self._context.unregister(server.channel)
        for order in server.end():
            self._owner.not_forked(order, reason)

    def _ended(self, server: ForkServerLink, how: str) -> None:
        if server.opening and not server.ended_by_us:
            self._owner.opening_failed(server.opening[0], how)
        serves = server is not self._spare
        self.current = None if server is self.current else self.current
        self.successor = None if server is self.successor else self.successor
        self._spare = None if server is self._spare else self._spare
        self._retire(server, f"the fork server {how}")
        if serves and not server.ended_by_us and not self._is_stopped:
            self._ended_early(how, self._context.clock(), server)

    def _ended_early(self, how: str, now_s: float, server: ForkServerLink | None = None) -> None:
        was_ready = server is not None and server.is_listed
        self._history = self._history.after_end(now_s - self._since_s if was_ready else 0.0)
        delay_s = self._history.delay_s()
        self._start_at_s = now_s + delay_s
        self._owner.fork_server_ended(how)
        log.error("fork_server_ended", reason=how, restart_in_s=round(delay_s, 1))
        if not was_ready and self._history.early >= MOST_EARLY_ENDS:
            self._owner.load_in_workers(f"the fork server {how} before it was ready")
