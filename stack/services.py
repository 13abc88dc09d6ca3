"""The services of a stack: command, readiness probe and process.

A `Service` is a description; a `ServiceProcess` is a process that runs it.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from shared.exit_status import ending
from stack.service_logs import Log


class Layer(IntEnum):
    """The queue is ready before the others start; services stop from the top layer down."""

    QUEUE = 0
    WORKERS = 1
    GATEWAY = 2


Probe: TypeAlias = Callable[[int], str | None]
"""Given the service's PID, returns a description if it is ready, else None. Returns within a second."""


InnerRestarts: TypeAlias = Callable[[int], tuple[int, str]]
"""Given the service's PID, returns how many processes it has restarted, and how the latest of them ended."""


@dataclass(frozen=True)
class Service:
    """A program of the stack."""

    name: str
    layer: Layer
    command: tuple[str, ...]
    ready: Probe
    log: Log
    environment: Mapping[str, str] = field(repr=False)  # contains the queue's password
    input: bytes = field(default=b"", repr=False)  # its standard input
    inherits: tuple[int, ...] = ()  # inherited descriptors
    grace_s: float = 20.0  # from SIGTERM to SIGKILL
    inner_restarts: InnerRestarts = lambda _: (0, "")


class ServiceProcess:
    """A process of a service, in the stack's process group."""

    def __init__(self, service: Service, group: int) -> None:
        self.service = service
        self.started_s = time.monotonic()
        self.inner_restarts = 0
        self._ready_s: float | None = None
        self._log_start_bytes = service.log.size_bytes()
        with service.log.open() as log:
            self._process = subprocess.Popen(
                service.command,
                env=service.environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=group,
                pass_fds=service.inherits,
            )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(service.input)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ready(self) -> bool:
        """Whether the service became ready in this process."""
        return self._ready_s is not None

    def became_ready(self) -> None:
        self._ready_s = time.monotonic()

    def ended(self) -> str | None:
        """Returns how the process ended, as text, or None while it runs."""
        code = self._process.poll()
        return None if code is None else ending(code)

    def lived_s(self) -> float:
        return time.monotonic() - self.started_s

    def served_s(self) -> float:
        """Time since the service became ready; 0 if it did not."""
        return 0.0 if self._ready_s is None else time.monotonic() - self._ready_s

    def last_lines(self, count: int) -> list[str]:
        return self.service.log.last_lines(count, since_bytes=self._log_start_bytes)

    def last_errors(self, count: int) -> list[str]:
        """Returns the last lines of this process's log that report an error."""
        return self.service.log.last_errors(count, since_bytes=self._log_start_bytes)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def wait(self, limit_s: float) -> bool:
        """Wait for the end of the process. Returns False after `limit_s`."""
        try:
            self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return False
        return True
