"""A steady load: requests at a fixed rate, independently of earlier answers (an open loop).

Each request is timed from when it was due, so that its time includes the wait for a connection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from bench.calls import Caller
from bench.servers import Server

_MOST_AT_ONCE = 64


class Steady:
    """Requests to a rival at a fixed rate, with a keep-alive connection for each thread."""

    def __init__(self, server: Server, requests_per_s: float) -> None:
        self._server = server
        self._every_s = 1 / requests_per_s

    def times_ms(self, going: Callable[[], bool]) -> list[float]:
        """Send requests while the condition holds. Returns their times; raises as `Caller.call`."""
        asked: list[Future[float]] = []
        with _callers(self._server) as call, ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
            due_s = time.perf_counter()
            while going():
                asked.append(pool.submit(call, due_s))
                due_s += self._every_s
                time.sleep(max(0.0, due_s - time.perf_counter()))
            return [future.result() for future in asked]


@contextmanager
def _callers(server: Server) -> Iterator[Callable[[float], float]]:
    """Call on the thread's connection, and return the ms since the request was due."""
    local = threading.local()
    opened: list[Caller] = []

    def call(due_s: float) -> float:
        if not hasattr(local, "caller"):
            local.caller = server.caller()
            opened.append(local.caller)
        local.caller.call()
        return (time.perf_counter() - due_s) * 1000

    try:
        yield call
    finally:
        for caller in opened:
            caller.close()
