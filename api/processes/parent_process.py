"""The parent of several gateway processes: starts, restarts and stops them.

    SIGTERM, SIGINT   stop all processes gracefully; a second signal ends their drain delay
    SIGHUP            replace the processes one by one: a new process serves, then its predecessor leaves
    a process ended   start another in its slot, by `shared/backoff.py`

As PID 1 of a container it also reaps orphans.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from api.processes.gateway_process import GatewayProcess
from api.processes.listeners import Sockets, listeners
from api.processes.process_arguments import duties
from shared.backoff import RestartHistory
from shared.settings import Settings

log = structlog.get_logger()

TURN_S = 0.1
_GRACE_BEYOND_S = 3.0
"""Time after TAKT_SHUTDOWN_GRACE_S at which a stopping process is killed."""


@dataclass
class Slot:
    """A process and its successors, one after the other."""

    number: int
    current: GatewayProcess | None = None
    successor: GatewayProcess | None = None  # started by a SIGHUP, does not serve yet
    leaving: list[GatewayProcess] = field(default_factory=list)  # predecessors that finish their requests
    history: RestartHistory = field(default_factory=RestartHistory)
    start_at_s: float = 0.0  # monotonic; earliest time of the next start
    opened: bool = False  # a process has listened on the slot's sockets

    @property
    def serves(self) -> bool:
        return self.current is not None and self.current.ready

    def processes(self) -> Iterator[GatewayProcess]:
        yield from (process for process in (self.current, self.successor) if process is not None)
        yield from self.leaving


def run_parent(settings: Settings, processes: int) -> int:
    """Serve with this number of processes until a signal. Returns the exit code.

    Raises OperatorError if the address cannot be bound.
    """
    with (
        listeners(settings.host, settings.port, processes) as sockets,
        tempfile.TemporaryDirectory(prefix="takt-gateways-") as folder,
    ):
        return ParentProcess(settings, sockets, Path(folder)).run()


class ParentProcess:
    """Owns the processes."""

    def __init__(self, settings: Settings, sockets: tuple[Sockets, ...], folder: Path) -> None:
        self._settings = settings
        self._sockets = sockets
        self._folder = folder
        self._slots = [Slot(number) for number in range(len(sockets))]
        self._replacing: list[Slot] = []  # slots whose processes a SIGHUP is still to replace
        self._stops = 0  # signals to stop
        self._exit_code = 0

    def run(self) -> int:
        log.info("gateways_started", processes=len(self._slots), pid=os.getpid())
        with self._signals() as woken:
            while not self._stops:
                self.turn()
                _wait(woken, TURN_S)
            self._stop(woken)
        log.info("gateways_stopped")
        return self._exit_code

    @contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        """Handle signals. Yields a socket that is readable after a signal, or the end of a process."""
        woken, wakes = socket.socketpair()
        woken.setblocking(False)
        wakes.setblocking(False)
        with woken, wakes:
            signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self._count_stop())
            signal.signal(signal.SIGHUP, lambda *_: self._replace_all())
            signal.signal(signal.SIGCHLD, lambda *_: None)
            yield woken
            signal.set_wakeup_fd(-1)

    def _count_stop(self) -> None:
        self._stops += 1

    def _replace_all(self) -> None:
        self._replacing = list(self._slots)

    # -- one look at all processes

    def turn(self) -> None:
        """Start, promote and bury processes, and share the sockets among those that serve."""
        for slot in self._slots:
            self._bury(slot)
            if slot.current is None and time.monotonic() >= slot.start_at_s:
                slot.current = self._started(slot)
            if slot.successor is not None and slot.successor.ready:
                self._promote(slot, slot.successor)
        self._replace_next()
        self._share_sockets()
        _reap_orphans({process.pid for slot in self._slots for process in slot.processes()})

    def _started(self, slot: Slot) -> GatewayProcess:
        return GatewayProcess(slot.number, self._sockets, self._folder)

    def _bury(self, slot: Slot) -> None:
        """Remove the processes of a slot that have ended."""
        for process in [process for process in slot.processes() if process.exit_code() is not None]:
            served_s = process.served_s()
            process.close()
            if process is slot.current:
                slot.current = None
                self._record_end(slot, process, served_s)
            elif process is slot.successor:
                slot.successor, self._replacing = None, []
                log.error("gateway_restart_abandoned", slot=slot.number, exit_code=process.exit_code())
            else:
                slot.leaving.remove(process)

    def _record_end(self, slot: Slot, process: GatewayProcess, served_s: float) -> None:
        slot.history = slot.history.after_end(served_s)
        slot.start_at_s = time.monotonic() + slot.history.delay_s()
        log.error(
            "gateway_ended",
            slot=slot.number,
            pid=process.pid,
            exit_code=process.exit_code(),
            restart_in_s=slot.history.delay_s(),
        )
        if not any(other.opened for other in self._slots):  # a start that can only fail again
            self._exit_code = max(1, process.exit_code() or 0)
            self._stops += 1

    def _promote(self, slot: Slot, successor: GatewayProcess) -> None:
        if slot.current is not None:
            slot.current.leave()
            slot.leaving.append(slot.current)
        slot.current, slot.successor = successor, None
        log.info("gateway_replaced", slot=slot.number, pid=successor.pid)

    def _replace_next(self) -> None:
        """Start the next successor of a SIGHUP, if the slot before is done: at most one process more."""
        if self._replacing and all(
            slot.serves and slot.successor is None and not slot.leaving for slot in self._slots
        ):
            slot = self._replacing.pop(0)
            slot.successor = self._started(slot)

    def _share_sockets(self) -> None:
        for slot in self._slots:
            slot.opened = slot.opened or slot.serves
        opened = [slot for slot in self._slots if slot.opened]
        serving = [slot.number for slot in opened if slot.serves]
        for number, slots in duties([slot.number for slot in opened], serving).items():
            current = self._slots[number].current
            assert current is not None
            current.accept_from(slots)

    # -- the end

    def _stop(self, woken: socket.socket) -> None:
        """Stop all processes gracefully, and kill those that exceed the grace."""
        processes = [process for slot in self._slots for process in slot.processes()]
        limit_s = time.monotonic() + self._settings.shutdown_grace_s + _GRACE_BEYOND_S
        announced = 0
        while any(process.exit_code() is None for process in processes):
            if announced < self._stops:
                announced = self._stops
                for process in processes:
                    process.terminate()
            if time.monotonic() > limit_s:
                for process in processes:
                    process.kill()
            _wait(woken, TURN_S)
        for process in processes:
            process.close()


def _wait(woken: socket.socket, limit_s: float) -> None:
    """Wait for a signal, at most this long."""
    woken.settimeout(limit_s)
    with suppress(TimeoutError):
        woken.recv(1024)


def _reap_orphans(own: set[int]) -> None:
    """Reap children that this process did not start: PID 1 inherits the orphans of its container."""
    with suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if ended.si_pid in own:
                return  # the next turn buries it; an orphan behind it is reaped in the turn after that
            os.waitpid(ended.si_pid, 0)
