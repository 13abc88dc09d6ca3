"""The leash: one small process that ends every part when `takt up` is gone, however it went.

    takt up ──holds the pipe──▶ leash      both leash and parts are in one process group of their own,
        └─────────starts──────▶ parts      which a terminal's Ctrl-C does not reach

The pipe closes when `takt up` ends, by `kill -9` too, and on macOS as on Linux. A part joins the group
before its program starts, so there is no moment at which a part could be missed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

GRACE_S = 3.0
"""How long parts may take to end by themselves once `takt up` is gone."""


class ProcessGroup:
    """Holds the parts: whatever runs in `group` ends with this process."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        self._process = self._start(group=0)
        self.group = self._process.pid
        """The process group that every part must join."""

    def _start(self, group: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "stack.process_group"]
        return subprocess.Popen(command, stdin=self._read_end, process_group=group)

    def mend(self) -> bool:
        """Start the leash again if somebody ended it; whether it was so."""
        if self._process.poll() is None:
            return False
        try:
            self._process = self._start(self.group)
        except OSError:  # the group is gone: no part is left in it
            self._process = self._start(group=0)
            self.group = self._process.pid
        return True

    def kill(self) -> None:
        """End everything at once, the leash too."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, signal.SIGKILL)

    def close(self) -> None:
        """Let go: what is left in the group is asked to end, and after the grace made to."""
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
    """Ask this process's group to end, then make it end. Does not return when somebody had to be made to."""
    limit = time.monotonic() + grace_s
    if others():
        os.killpg(0, signal.SIGTERM)
    while others():
        if time.monotonic() > limit:
            os.killpg(0, signal.SIGKILL)
        time.sleep(0.05)


def others() -> list[int]:
    """The living members of this process's group but itself."""
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
