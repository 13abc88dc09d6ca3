"""A running Takt for tests: processes of the real gateway and Celery workers on a real server."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from shared.settings import environment
from tests.support.polling import eventually
from tests.support.processes import named_members
from tests.support.servers import free_port

ROOT = Path(__file__).parents[2]
_TO_THE_WHOLE_GROUP = (signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT)
STARTS_S = 120.0
"""Time limit for a worker's imports on a busy machine."""


class Part:
    """A program of the stack; its output goes to a file that is printed if the test fails.

    It has a process group of its own: a supervisor, its fork server and its workers are killed, suspended and
    resumed together, like a machine.
    """

    def __init__(self, name: str, command: list[str], settings: dict[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = command
        self._environment = environment(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{settings['port']}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        """Exit status; a negative value is the signal that ended the process. None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def worker_pids(self) -> list[int]:
        """The workers of a supervisor, oldest first."""
        return named_members(self.pid, "takt-worker")

    def has_said(self, event: str) -> bool:
        """Whether the log contains an event, of this process or of an earlier process with the same log."""
        return event in self.log.read_text(errors="replace")

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._command],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    def end(self, how: signal.Signals = signal.SIGTERM, *, limit_s: float = 60.0) -> int:
        """Send a signal, wait for the end, and return the exit status; negative: the signal that ended it."""
        self.tell(how)
        return self.ended(limit_s=limit_s)

    def ended(self, *, limit_s: float = 60.0) -> int:
        """Wait for the end of a process that has already received a signal. A second signal could meet an
        interpreter that no longer handles signals. Returns the same as `end`."""
        assert self._process is not None
        return self._process.wait(timeout=limit_s)

    def outlives(self, seconds: float) -> bool:
        """Whether the process still runs after this time."""
        assert self._process is not None
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def kill(self) -> None:
        if self._process is not None:
            self.end(signal.SIGKILL)

    def tell(self, how: signal.Signals) -> None:
        """Send a signal without waiting for its effect: to the program, which may act on it, or to all its
        processes if none can."""
        with contextlib.suppress(ProcessLookupError):
            if how in _TO_THE_WHOLE_GROUP:
                os.killpg(self.pid, how)
            elif self.running:
                os.kill(self.pid, how)

    def tell_alone(self, how: signal.Signals) -> None:
        """Send a signal to the program, and to none of the processes that it has started."""
        if self.running:
            os.kill(self.pid, how)

    def tell_inside(self, name: str, how: signal.Signals) -> None:
        """Send a signal only to the processes of this name in its group."""
        for pid in named_members(self.pid, name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)

    def pause(self) -> None:
        """Suspend all processes, like a machine that hangs."""
        self.tell(signal.SIGSTOP)

    def go_on(self) -> None:
        self.tell(signal.SIGCONT)


class Stack:
    """A gateway and workers on a server, with methods to start, stop and kill them."""

    def __init__(self, redis_url: str, folder: Path, **settings: str) -> None:
        self.port = free_port()
        self.folder = folder
        self._settings = {
            "redis_url": redis_url,
            "models_dir": str(ROOT / "models"),
            "payload_url": (folder / "payloads").as_uri(),
            "run_dir": str(folder / "run"),
            "port": str(self.port),
            "shutdown_grace_s": "20",
            "workers": "1",
        } | settings
        self.parts: dict[str, Part] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def setting(self, name: str) -> str:
        return self._settings[name]

    def client(self, *, timeout_s: float = 30.0) -> httpx.Client:
        # plain HTTP: reading the authorities for TLS takes 50 ms a client
        return httpx.Client(base_url=self.url, timeout=timeout_s, verify=False)

    def gateway(self, name: str = "gateway", *, port: int | None = None, **settings: str) -> Part:
        """Start a gateway, by default on the stack's port, and wait until it is live."""
        part = self._start(name, ["api"], {"gateway_name": name, "port": str(port or self.port)} | settings)
        eventually(lambda: _answers(f"{part.url}/health/live") or self._alive(part), limit_s=STARTS_S)
        return part

    def worker(self, name: str, *, wait: bool = True, **settings: str) -> Part:
        """Start a worker and, if requested, wait until it serves."""
        part = self._start(name, ["worker", "run"], {"worker_name": name} | settings)
        if wait:
            self.wait_for(name)
        return part

    def wait_for(self, worker: str) -> None:
        """Wait until the worker of this name serves."""
        part = self.parts[worker]
        # check the log first, because each health command is a process that competes for the cores
        eventually(
            lambda: (part.has_said("worker_serving") and self.serves(worker)) or self._alive(part),
            limit_s=STARTS_S,
            every_s=0.2,
        )

    def serves(self, name: str) -> bool:
        """Whether the heartbeat of the worker of this name reports that it serves."""
        return self.healthy(name) == 0

    def healthy(self, name: str) -> int:
        """The exit status of the health command."""
        command = [sys.executable, "-m", "worker", "health"]
        settings = environment(self._settings | {"worker_name": name})
        return subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, check=False).returncode

    def processes(self) -> dict[str, list[int]]:
        """The programs that run, each with its workers, if it has any."""
        return {name: [part.pid, *part.worker_pids] for name, part in self.parts.items() if part.running}

    def stop(self) -> None:
        for part in self.parts.values():
            part.kill()

    def logs(self) -> str:
        return "\n".join(
            f"── {p.name}\n{p.log.read_text(errors='replace')[-4000:]}" for p in self.parts.values()
        )

    def _start(self, name: str, command: list[str], settings: dict[str, str]) -> Part:
        part = Part(name, command, self._settings | settings, self.folder)
        self.parts[name] = part
        part.start()
        return part

    def _alive(self, part: Part) -> bool:
        assert part.running, f"{part.name} ended:\n{part.log.read_text(errors='replace')[-4000:]}"
        return False


@contextmanager
def running(redis_url: str, folder: Path, **settings: str) -> Iterator[Stack]:
    """Start a stack, and stop it after the block. The logs are printed if the block raises."""
    stack = Stack(redis_url, folder, **settings)
    try:
        yield stack
    except BaseException:
        print(stack.logs())  # noqa: T201 - pytest shows it with the failure
        raise
    finally:
        stack.stop()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5.0, verify=False).is_success
    except httpx.HTTPError:
        return False


def wait_until_ready(stack: Stack | Part, *, limit_s: float = STARTS_S) -> None:
    """Wait until this gateway reports a worker with the default model and an answering queue."""
    eventually(lambda: _answers(f"{stack.url}/health/ready"), limit_s=limit_s, every_s=0.1)
