"""The supervisor: starts the services in order, restarts them after crashes, and stops them in order.

A single thread checks every service ten times a second and reports to a `SupervisorEvents`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

from shared.backoff import Backoff
from stack.command_errors import CommandError, ServiceFailedError
from stack.process_group import ProcessGroup
from stack.services import Layer, Service, ServiceProcess


@dataclass(frozen=True)
class RestartBackoff(Backoff):
    """The pause before a restart."""

    first_s: float = 0.2
    longest_s: float = 30.0
    stable_s: float = 60.0  # a run of this length resets the backoff


@dataclass(frozen=True)
class Crashes:
    """The crashes of a service."""

    in_row: int = 0  # without a stable run in between
    total: int = 0

    def after(self, lived_s: float, backoff: RestartBackoff) -> Crashes:
        """Returns the count after a crash that ended a run of `lived_s`."""
        in_row = 1 if lived_s >= backoff.stable_s else self.in_row + 1
        return Crashes(in_row, self.total + 1)

    def pause_s(self, backoff: Backoff) -> float:
        """Returns the pause before the next start; 0 before the first start."""
        return backoff.pause_s(self.in_row) if self.in_row else 0.0


TURN_S = 0.1
START_LIMIT_S = 180.0
_LAST_LINES = 12


class SupervisorEvents(Protocol):
    """Receives the supervisor's events."""

    def ready(self, service: str, detail: str, took_s: float) -> None: ...
    def crashed(
        self, service: str, how: str, crashes: Crashes, pause_s: float, last_lines: list[str]
    ) -> None: ...
    def stopping(self, service: str) -> None: ...
    def killed(self, service: str, grace_s: float) -> None: ...


@dataclass
class _Supervised:
    """A service with its current process and its crashes so far."""

    service: Service
    process: ServiceProcess | None = None
    crashes: Crashes = field(default_factory=Crashes)
    start_at_s: float = 0.0  # monotonic; earliest time of the next start


class Supervisor:
    """Owns the processes of the services."""

    def __init__(
        self,
        services: Sequence[Service],
        group: ProcessGroup,
        report: SupervisorEvents,
        backoff: RestartBackoff | None = None,
    ) -> None:
        self._entries = [
            _Supervised(service) for service in sorted(services, key=lambda service: service.layer)
        ]
        self._group = group
        self._report = report
        self._backoff = backoff or RestartBackoff()

    def start(self) -> None:
        """Start all services and wait until they are ready.

        Raises ServiceFailedError if a service exits, CommandError after `START_LIMIT_S`.
        """
        queue = [entry for entry in self._entries if entry.service.layer is Layer.QUEUE]
        for entries in (queue, [entry for entry in self._entries if entry not in queue]):
            for entry in entries:
                entry.process = ServiceProcess(entry.service, self._group.group)
            self._wait_ready(entries)

    def _wait_ready(self, entries: list[_Supervised]) -> None:
        limit_s = time.monotonic() + START_LIMIT_S
        while waiting := [entry for entry in entries if not self._became_ready(entry)]:
            for entry in self._entries:
                self._fail_if_ended(entry)
            if time.monotonic() > limit_s:
                names = ", ".join(entry.service.name for entry in waiting)
                raise CommandError(
                    f"{names} is not ready after {START_LIMIT_S:.0f} s; see {waiting[0].service.log.path}"
                )
            time.sleep(TURN_S)

    def _became_ready(self, entry: _Supervised) -> bool:
        process = entry.process
        if (
            process is not None
            and not process.ready
            and (detail := entry.service.ready(process.pid)) is not None
        ):
            process.ready = True
            self._report.ready(entry.service.name, detail, process.lived_s())
        return process is not None and process.ready

    @staticmethod
    def _fail_if_ended(entry: _Supervised) -> None:
        if entry.process is not None and (how := entry.process.ended()):
            raise ServiceFailedError(entry.service.name, how, entry.process.last_lines(_LAST_LINES))

    def watch(self) -> None:
        """Keep the services running. Ends only by an exception, such as KeyboardInterrupt."""
        while True:
            self.turn()
            time.sleep(TURN_S)

    def turn(self) -> None:
        """Check every service once, and restart it if it is due."""
        self._group.restart()
        for entry in self._entries:
            self._check(entry)

    def _check(self, entry: _Supervised) -> None:
        entry.service.log.bound()
        if entry.process is None:
            if time.monotonic() >= entry.start_at_s:
                entry.process = ServiceProcess(entry.service, self._group.group)
        elif how := entry.process.ended():
            self._record_crash(entry, entry.process, how)
        else:
            self._became_ready(entry)

    def _record_crash(self, entry: _Supervised, process: ServiceProcess, how: str) -> None:
        entry.process = None
        entry.crashes = entry.crashes.after(process.lived_s(), self._backoff)
        pause_s = entry.crashes.pause_s(self._backoff)
        entry.start_at_s = time.monotonic() + pause_s
        self._report.crashed(entry.service.name, how, entry.crashes, pause_s, process.last_lines(_LAST_LINES))

    def stop(self) -> None:
        """Stop all services from the top layer down. A service that exceeds its grace period is killed."""
        for _, layer in groupby(reversed(self._entries), key=lambda entry: entry.service.layer):
            processes = [
                entry.process for entry in layer if entry.process is not None and not entry.process.ended()
            ]
            for process in processes:
                self._report.stopping(process.service.name)
                process.terminate()
            limit_s = time.monotonic() + max((process.service.grace_s for process in processes), default=0.0)
            for process in processes:
                if not process.wait(max(0.0, limit_s - time.monotonic())):
                    self._report.killed(process.service.name, process.service.grace_s)
                    process.kill()
                    process.wait(5.0)
