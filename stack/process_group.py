"""The process group of the services, and its guard: a process that ends them when `takt up` has ended.

    takt up ──holds the pipe──▶ guard       guard and services share a process group of their own,
        └─────────starts──────▶ services    which a terminal's Ctrl-C does not reach

The pipe closes when `takt up` ends, even by `kill -9`, on macOS as on Linux. A service joins the group before
its program starts, so that none is ever outside the group.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

GRACE_S = 3.0
"""How long services may take to exit after `takt up` has ended."""


class ProcessGroup:
    """A process group that ends with this process."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        self._process = self._start(group=0)
        self.group = self._process.pid
        """The id of the group, which every service must join."""

    def _start(self, group: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "stack.process_group"]
        return subprocess.Popen(command, stdin=self._read_end, process_group=group)

    def restart(self) -> bool:
        """Start the guard again if it has ended. Returns True if it had."""
        if self._process.poll() is None:
            return False
        try:
            self._process = self._start(self.group)
        except OSError:  # the group is gone: no service is left in it
            self._process = self._start(group=0)
            self.group = self._process.pid
        return True

    def kill(self) -> None:
        """Kill the whole group, including the guard."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, signal.SIGKILL)

    def close(self) -> None:
        """Terminate the processes left in the group, and kill them after the grace period."""
        os.close(self._write_end)
        self._process.wait()
        os.close(self._read_end)


def main() -> None:
    """Wait until the pipe closes, then end the group."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(sys.stdin.fileno(), 1):
        pass
    end_group(GRACE_S)


def end_group(grace_s: float) -> None:
    """Terminate this process's group, then kill it after `grace_s`. Does not return if it had to kill."""
    limit = time.monotonic() + grace_s
    if others():
        os.killpg(0, signal.SIGTERM)
    while others():
        if time.monotonic() > limit:
            os.killpg(0, signal.SIGKILL)
        time.sleep(0.05)


def others() -> list[int]:
    """Returns the live members of this process's group, without this process."""
    import psutil

    found = []
    for process in psutil.process_iter(["status"]):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            same = os.getpgid(process.pid) == os.getpgrp()
            if same and process.pid != os.getpid() and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


if __name__ == "__main__":
    main()
