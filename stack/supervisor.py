"""The supervisor: starts the services in order, restarts them after crashes, and stops them in order.

A single thread checks every service ten times a second and reports to a `SupervisorEvents`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from shared.backoff import RestartHistory, RestartPolicy
from stack.command_errors import CommandError, ServiceFailedError
from stack.process_group import ProcessGroup
from stack.services import Layer, Service, ServiceProcess

TURN_S = 0.1
START_LIMIT_S = 180.0
_LAST_LINES = 12


class SupervisorEvents(Protocol):
    """Receives the supervisor's events."""

    def ready(self, service: str, detail: str, took_s: float) -> None: ...
    def crashed(self, service: str, how: str, history: RestartHistory, errors: list[str]) -> None: ...
    def restarted_inside(self, service: str, how: str, count: int) -> None: ...
    def stopping(self, service: str) -> None: ...
    def killed(self, service: str, grace_s: float) -> None: ...


@dataclass
class _Supervised:
    """A service with its current process and how its processes ended so far."""

    service: Service
    history: RestartHistory
    process: ServiceProcess | None = None
    start_at_s: float = 0.0  # monotonic; earliest time of the next start


class Supervisor:
    """Owns the processes of the services."""

    def __init__(
        self,
        services: Sequence[Service],
        group: ProcessGroup,
        report: SupervisorEvents,
        policy: RestartPolicy | None = None,
    ) -> None:
        history = RestartHistory(policy=policy or RestartPolicy())
        self._entries = [
            _Supervised(service, history) for service in sorted(services, key=lambda service: service.layer)
        ]
        self._group = group
        self._report = report

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
            process.became_ready()
            self._report.ready(entry.service.name, detail, process.lived_s())
        return process is not None and process.ready

    @staticmethod
    def _fail_if_ended(entry: _Supervised) -> None:
        if entry.process is not None and (how := entry.process.ended()):
            lines = entry.process.last_errors(_LAST_LINES) or entry.process.last_lines(_LAST_LINES)
            raise ServiceFailedError(entry.service.name, how, lines)

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
            self._report_inner_restarts(entry, entry.process)

    def _report_inner_restarts(self, entry: _Supervised, process: ServiceProcess) -> None:
        count, how = entry.service.inner_restarts(process.pid)
        if count > process.inner_restarts:
            process.inner_restarts = count
            self._report.restarted_inside(entry.service.name, how, count)

    def _record_crash(self, entry: _Supervised, process: ServiceProcess, how: str) -> None:
        entry.process = None
        entry.history = entry.history.after_end(process.served_s())
        entry.start_at_s = time.monotonic() + entry.history.delay_s()
        self._report.crashed(entry.service.name, how, entry.history, process.last_errors(_LAST_LINES))

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
