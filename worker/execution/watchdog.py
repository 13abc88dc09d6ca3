"""Ends a process if its model call makes no progress.

Python cannot kill a thread, and a C extension that holds the GIL blocks all Python code. faulthandler's timer
is a C thread: it writes every thread's stack to stderr and ends the process even then. The supervisor
restarts the worker, and other workers take over its leases and entries. faulthandler's output does not name
the limit; a Python thread logs it a second earlier, if the call lets Python run.

While models load, native code of the loader may hold the GIL for minutes, and the engine makes no progress
meanwhile. faulthandler's timer then has a longer limit, and the Python thread ends the process instead. It
counts only the time in which Python ran.
"""

from __future__ import annotations

import faulthandler
import os
import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

SETTING = "TAKT_BATCH_LIMIT_S"
_REARM_S = 1.0  # arming starts a thread: too slow for every call
_LOOK_EVERY_S = 0.25
_MOST_COUNTED_S = 1.0
"""If Python did not run for longer than this, the rest of that time does not count."""
LOADING_LIMIT_S = 600.0
"""How long native code may hold the GIL while models load."""
EXIT_STUCK = 1
"""The exit status, as faulthandler's."""


def limit_in_words(limit_s: float) -> str:
    """`20 s, the limit of one model call (TAKT_BATCH_LIMIT_S)`"""
    return f"{limit_s:g} s, the limit of one model call ({SETTING})"


class Watchdog:
    """Ends the process `limit_s` to `limit_s` + 1 s after the last progress."""

    def __init__(self, limit_s: float, is_loading: Callable[[], bool] = lambda: False) -> None:
        self.limit_s = limit_s
        self._is_loading = is_loading
        self.running: Callable[[], str] = lambda: ""
        """Describes the current work, for the log."""
        self._armed_at_s = float("-inf")
        self._reporter: threading.Thread | None = None

    def progress(self, now_s: float) -> None:
        """Report that the engine makes progress. `now_s`: a monotonic clock."""
        if now_s - self._armed_at_s >= _REARM_S:
            limit_s = max(self.limit_s, LOADING_LIMIT_S) if self._is_loading() else self.limit_s
            faulthandler.dump_traceback_later(limit_s + _REARM_S, exit=True)
            self._armed_at_s = now_s
            if self._reporter is None:
                self._reporter = threading.Thread(target=self._report, name="watchdog", daemon=True)
                self._reporter.start()

    def disarm(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        self._armed_at_s = float("-inf")

    def _report(self) -> None:
        armed_at_s, looked_s, silent_s, is_reported = self._armed_at_s, time.monotonic(), 0.0, False
        while self._armed_at_s > float("-inf"):
            now_s = time.monotonic()
            silent_s += min(now_s - looked_s, _MOST_COUNTED_S)
            looked_s = now_s
            if self._armed_at_s != armed_at_s:
                armed_at_s, silent_s, is_reported = self._armed_at_s, 0.0, False
            if silent_s >= self.limit_s and not is_reported:
                is_reported = True
                self._log()
            if silent_s >= self.limit_s + _REARM_S and self._is_loading():
                faulthandler.dump_traceback(all_threads=True)
                os._exit(EXIT_STUCK)
            time.sleep(min(_LOOK_EVERY_S, self.limit_s / 4))
        self._reporter = None

    def _log(self) -> None:
        log.error(
            "model_call_over_limit",
            running=self.running(),
            limit_s=self.limit_s,
            setting=SETTING,
            meaning=f"no progress within {limit_in_words(self.limit_s)}; this worker ends",
        )
