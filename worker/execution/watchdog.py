"""Ends a process whose model call makes no progress.

Python cannot kill a thread, and a C extension that holds the GIL blocks all Python code. faulthandler's timer
is a C thread: it writes every thread's stack to stderr and ends the process even then. The supervisor
restarts the worker, and other workers take over its leases and entries. faulthandler's output does not name
the limit; a Python thread logs it a second earlier, if the call lets Python run.
"""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

SETTING = "TAKT_BATCH_LIMIT_S"
_REARM_S = 1.0  # arming starts a thread: too slow for every call
_LOOK_EVERY_S = 0.25


def limit_in_words(limit_s: float) -> str:
    """`20 s, the limit of one model call (TAKT_BATCH_LIMIT_S)`"""
    return f"{limit_s:g} s, the limit of one model call ({SETTING})"


class Watchdog:
    """Ends the process `limit_s` to `limit_s` + 1 s after the last progress."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.running: Callable[[], str] = lambda: ""
        """Describes the current work, for the log."""
        self._armed_at_s = float("-inf")
        self._reporter: threading.Thread | None = None

    def progress(self, now_s: float) -> None:
        """Report that the engine makes progress. `now_s`: a monotonic clock."""
        if now_s - self._armed_at_s >= _REARM_S:
            faulthandler.dump_traceback_later(self.limit_s + _REARM_S, exit=True)
            self._armed_at_s = now_s
            if self._reporter is None:
                self._reporter = threading.Thread(target=self._report, name="watchdog", daemon=True)
                self._reporter.start()

    def disarm(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        self._armed_at_s = float("-inf")

    def _report(self) -> None:
        reported_s = float("-inf")
        while (armed_at_s := self._armed_at_s) > float("-inf"):
            if time.monotonic() - armed_at_s >= self.limit_s and armed_at_s != reported_s:
                reported_s = armed_at_s
                log.error(
                    "model_call_over_limit",
                    running=self.running(),
                    limit_s=self.limit_s,
                    setting=SETTING,
                    meaning=f"no progress within {limit_in_words(self.limit_s)}; this worker ends",
                )
            time.sleep(min(_LOOK_EVERY_S, self.limit_s / 4))
        self._reporter = None
