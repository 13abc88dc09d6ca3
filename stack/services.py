"""The parts of a stack: what each one runs, when it is ready, and its process.

A part is a plan; a `ServiceProcess` is one process of it, from its start to its end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from stack.logs import Log


class Layer(IntEnum):
    """The queue is ready before the others start; all end from the top layer down."""

    QUEUE = 0
    WORKERS = 1
    GATEWAY = 2


Probe: TypeAlias = Callable[[int], str | None]
"""Given the part's PID: what there is to say of it once it is ready, else None. Returns within a second."""


@dataclass(frozen=True)
class Service:
    """One program of the stack."""

    name: str
    layer: Layer
    command: tuple[str, ...]
    ready: Probe
    log: Log
    environment: Mapping[str, str] = field(repr=False)  # bears the queue's password
    input: bytes = field(default=b"", repr=False)  # what it reads from its standard input
    inherits: tuple[int, ...] = ()  # descriptors that it keeps open
    grace_s: float = 20.0  # from SIGTERM to SIGKILL


class ServiceProcess:
    """One process of a part, in the leash's group."""

    def __init__(self, part: Service, group: int) -> None:
        self.part = part
        self.started_s = time.monotonic()
        self.ready = False
        self._log_start_bytes = part.log.size_bytes()
        with part.log.open() as log:
            self._process = subprocess.Popen(
                part.command,
                env=part.environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=group,
                pass_fds=part.inherits,
            )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(part.input)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> str | None:
        """How the process ended, in words, or None while it runs."""
        code = self._process.poll()
        return None if code is None else ending(code)

    def lived_s(self) -> float:
        return time.monotonic() - self.started_s

    def last_lines(self, count: int) -> list[str]:
        return self.part.log.last_lines(count, since_bytes=self._log_start_bytes)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def wait(self, limit_s: float) -> bool:
        """Whether it has ended within the limit."""
        try:
            self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return False
        return True


def ending(code: int) -> str:
    """The words for an exit status as Popen gives it: `ended with code 1`, `was killed by SIGKILL`."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
