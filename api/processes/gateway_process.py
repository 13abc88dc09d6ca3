"""A gateway process, as its parent sees it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from api.processes.listeners import Sockets
from api.processes.process_arguments import LEAVE, LISTEN, READY, ProcessArguments


class GatewayProcess:
    """A running `python -m api` that serves a slot. It ends by itself if its parent ends."""

    def __init__(self, slot: int, listeners: tuple[Sockets, ...], folder: Path) -> None:
        self.slot = slot
        self._ready_s: float | None = None
        self._duties: tuple[int, ...] = (slot,)
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)
        arguments = ProcessArguments(
            slot=slot,
            control=theirs.fileno(),
            listeners=tuple(tuple(sock.fileno() for sock in sockets) for sockets in listeners),
            folder=str(folder),
        )
        inherited = [arguments.control, *(fd for fds in arguments.listeners for fd in fds)]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "api", arguments.as_argument()], pass_fds=inherited
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ready(self) -> bool:
        """Whether it serves."""
        if self._ready_s is None:
            with suppress(BlockingIOError, ConnectionError):
                if READY in self._control.recv(1024):
                    self._ready_s = time.monotonic()
        return self._ready_s is not None

    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    def served_s(self) -> float:
        """Time since it was ready; 0 if it never was."""
        return time.monotonic() - self._ready_s if self.ready and self._ready_s is not None else 0.0

    def accept_from(self, slots: tuple[int, ...]) -> None:
        """Accept from the sockets of these slots only."""
        if slots != self._duties:
            self._duties = slots
            self._tell(b" ".join([LISTEN, *(b"%d" % slot for slot in slots)]))

    def leave(self) -> None:
        """Accept no more connections, finish the accepted requests and exit."""
        self._tell(LEAVE)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def wait(self, limit_s: float) -> bool:
        """Wait for its end. False after `limit_s`."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(limit_s)
        return self._process.returncode is not None

    def close(self) -> None:
        self._control.close()

    def _tell(self, line: bytes) -> None:
        with suppress(BlockingIOError, ConnectionError):  # it has ended, or hangs
            self._control.send(line + b"\n")
