"""A steady load: so many requests a second, whether the last one was answered or not (an open loop).

Each is timed from when it was due, so that one that has to wait for its turn counts as slow as it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from bench.calls import Caller
from bench.rivals import Rival

_MOST_AT_ONCE = 64


class Steady:
    """Right answers of one rival, at a rate; keep-alive connections, one a thread."""

    def __init__(self, rival: Rival, port: int, requests_per_s: float) -> None:
        self._rival = rival
        self._port = port
        self._every_s = 1 / requests_per_s
        self._pool = ThreadPoolExecutor(_MOST_AT_ONCE, thread_name_prefix="steady")
        self._local = threading.local()
        self._callers: list[Caller] = []

    def times_ms(self, going: Callable[[], bool]) -> list[float]:
        """Send as long as it is going on. → what each request took. Raises what `Caller.call` raises."""
        asked: list[Future[float]] = []
        due_s = time.perf_counter()
        while going():
            asked.append(self._pool.submit(self._call, due_s))
            due_s += self._every_s
            time.sleep(max(0.0, due_s - time.perf_counter()))
        return [future.result() for future in asked]

    def close(self) -> None:
        self._pool.shutdown()
        for caller in self._callers:
            caller.close()

    def _call(self, due_s: float) -> float:
        if not hasattr(self._local, "caller"):
            self._local.caller = Caller(self._rival, self._port)
            self._callers.append(self._local.caller)
        self._local.caller.call()
        return (time.perf_counter() - due_s) * 1000


@contextmanager
def steady(rival: Rival, port: int, requests_per_s: float) -> Iterator[Steady]:
    load = Steady(rival, port, requests_per_s)
    try:
        yield load
    finally:
        load.close()
