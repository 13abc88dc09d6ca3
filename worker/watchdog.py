"""Ends a process whose model call makes no progress.

A thread cannot be killed, and a C extension that holds the GIL lets no Python run. faulthandler's timer is a
C thread: it writes every thread's stack to stderr and ends the process even then. The supervisor starts it
again, and its leases and entries come back to others.
"""

from __future__ import annotations

import faulthandler

_REARM_S = 1.0  # arming makes a thread: not for every call


class Watchdog:
    """Ends the process `limit_s` to `limit_s` + 1 s after the last progress."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._armed_at_s = float("-inf")

    def progress(self, now_s: float) -> None:
        """Say that the engine lives. `now_s`: a monotonic clock."""
        if now_s - self._armed_at_s >= _REARM_S:
            faulthandler.dump_traceback_later(self._limit_s + _REARM_S, exit=True)
            self._armed_at_s = now_s

    def disarm(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        self._armed_at_s = float("-inf")
