"""The supervisor: starts fork servers, verifiers and workers, restarts what ends, and stops everything.

One thread and one loop: signals, messages, and times at which something is due. It computes nothing and waits
for nobody, so it reaps a worker that ends and orders the next within milliseconds.

Its processes form groups: one of its own interpreter, and one of each environment that a wanted version has.
SIGHUP reads the repository again.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import count

import structlog

from shared.liveness_files import SupervisorFile
from shared.settings import Settings
from shared.worker_records import SupervisorFacts
from worker.control.operating_system import adopt_orphans
from worker.memory import models_budget_bytes
from worker.supervision.fork_servers import GroupContext
from worker.supervision.interpreter_group import InterpreterGroup
from worker.supervision.memory_budget import MemoryBudget
from worker.supervision.supervisor_file import SupervisorFileWriter
from worker.supervision.worker_slots import MOST_EXITS

log = structlog.get_logger(__name__)

TURN_S = 1.0


class WorkerSupervisor:
    """One instance per process."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._context = GroupContext(
            settings,
            self._selector,
            self._facts,
            self._want_environments,
            self._deploy,
            MemoryBudget(models_budget_bytes(settings)),
            clock,
        )
        self._deployed: Mapping[str, list[str]] = {}
        self._environments: frozenset[str] = frozenset()  # that wanted versions have
        self._own = InterpreterGroup(self._context, deployed=self._deployed)
        self._groups = [self._own]
        self._ended_restarts = 0  # of groups that are over
        self._probe_file = SupervisorFileWriter(settings)
        self._signals: deque[int] = deque()
        self._stops = 0

    def run(self) -> int:
        """Supervise until SIGTERM or SIGINT. → the exit status."""
        self._handle_signals()
        adopt_orphans()
        log.info("supervisor_starting", name=self._settings.worker_name, pid=os.getpid())
        with self._probe_file:
            while not self._is_over():
                self._turn()
        return 0

    def _is_over(self) -> bool:
        return bool(self._stops) and all(group.is_over for group in self._groups)

    def _turn(self) -> None:
        while self._signals:
            self._obey_signal(self._signals.popleft())
        now_s = self._clock()
        if not self._stops:
            self._tend_groups()
        for group in self._groups:
            group.turn(now_s)
        if not self._stops:
            self._probe_file.write(self._summary())
        pause_s = min(group.pause_s(now_s, TURN_S) for group in self._groups)
        for event, _ in self._selector.select(pause_s):
            if event.fd in self._selector.get_map():  # otherwise closed by an earlier event of this turn
                event.data()
        self._reap()

    # -- groups --------------------------------------------------------------------------------------------

    def _want_environments(self, names: Sequence[str]) -> None:
        """The environments of the wanted versions, as the own group lists them."""
        self._environments = frozenset(names)

    def _tend_groups(self) -> None:
        """Start a group for each new environment, and stop the group of one that no version has any more."""
        for group in self._groups[1:]:
            if group.environment not in self._environments and not group.stops:
                log.info("environment_removed", environment=group.environment)
                group.stop()
        self._ended_restarts += sum(group.workers.restarts for group in self._groups if group.is_over)
        self._groups = [group for group in self._groups if not group.is_over]
        for name in sorted(self._environments - {group.environment for group in self._groups}):
            log.info("environment_added", environment=name)
            free = next(number for number in count(1) if all(number != one.number for one in self._groups))
            self._groups.append(InterpreterGroup(self._context, name, number=free, deployed=self._deployed))

    def _serving_groups(self) -> list[InterpreterGroup]:
        return [group for group in self._groups if not group.stops]

    def _summary(self) -> SupervisorFile:
        facts = self._facts()
        return SupervisorFile(
            pid=facts.pid,
            workers=[worker for group in self._serving_groups() for worker in group.workers.ids()],
            restarts=facts.restarts,
            last_exit=facts.last_exit,
            recent_exits=facts.recent_exits,
            problem=facts.problem,
        )

    def _facts(self) -> SupervisorFacts:
        exits = sorted(
            (one for group in self._groups for one in group.workers.last_exits), key=lambda one: one.at
        )
        return SupervisorFacts(
            name=self._settings.worker_name,
            pid=os.getpid(),
            workers=sum(group.size for group in self._serving_groups()),
            restarts=self._ended_restarts + sum(group.workers.restarts for group in self._groups),
            last_exit=exits[-1] if exits else None,
            recent_exits=tuple(exits[-MOST_EXITS:]),
            problem=next(filter(None, (group.problem for group in self._groups)), ""),
        )

    def _deploy(self, versions: dict[str, list[str]]) -> None:
        """Follow the deployments that a worker has read."""
        self._deployed = versions
        if [group for group in self._groups if group.deploy(versions)]:
            log.info("deployments_changed", models=sorted(versions))

    # -- ends ----------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        """Reap every process that has ended, orphans of any kind included."""
        early = self._context.early_ends
        awaits_forks = any(group.awaits_forks for group in self._groups)
        if not awaits_forks:
            early.clear()
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if not any(group.reaped(pid, status) for group in self._groups) and awaits_forks:
                early[pid] = status  # of a fork that is not announced yet, or of no interest

    # -- signals -------------------------------------------------------------------------------------------

    def _handle_signals(self) -> None:
        """Wake the loop with each signal."""
        read_end, write_end = socket.socketpair()
        for end in (read_end, write_end):
            end.setblocking(False)
        self._wakeup = write_end  # kept open
        signal.set_wakeup_fd(write_end.fileno())
        self._selector.register(read_end, selectors.EVENT_READ, lambda: self._drain(read_end))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: self._signals.append(number))

    @staticmethod
    def _drain(end: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while end.recv(4096):
                pass

    def _obey_signal(self, number: int) -> None:
        if number != signal.SIGHUP:
            self._stop(number)
        elif not self._stops:
            for group in self._groups:
                group.read_again()

    def _stop(self, number: int) -> None:
        """Let the workers finish; at the second signal, end them at once."""
        self._stops += 1
        if self._stops > 1:
            for group in self._groups:
                group.workers.kill()
            return
        log.info("supervisor_stopping", signal=signal.Signals(number).name)
        for group in self._groups:
            group.stop()
