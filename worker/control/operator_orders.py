"""Carries out the orders of operators that a worker takes with its heartbeat.

The heartbeat's thread runs them, also while the engine is stuck in a call. If a native call holds the
interpreter's lock, no thread runs, and the watchdog ends the process.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Iterator

import msgspec
import redis
import structlog

from shared import keys
from shared.recent_events import RECENT_EVENTS
from shared.worker_records import LOG, ORDER_KEPT_S, RESTART, STACK

log = structlog.get_logger(__name__)


class OperatorOrders:
    """The orders to a worker other than to drain."""

    def __init__(self, client: redis.Redis, worker_id: str, restart: Callable[[], None]) -> None:
        """`restart` has the supervisor replace this worker."""
        self._client = client
        self._worker_id = worker_id
        self._restart = restart

    def obey(self, order: str) -> None:
        """Carry out an order; an unknown one, of a newer gateway, is only logged. Raises RedisError."""
        what, _, ticket = order.partition(" ")
        log.info("worker_ordered", worker=self._worker_id, order=what)
        if what == RESTART:
            self._restart()
        elif what == STACK:
            text = "\n".join(stacks_of_threads())
            self._client.set(keys.worker_stack(self._worker_id, ticket), text, ex=ORDER_KEPT_S)
        elif what == LOG:
            events = msgspec.json.encode(RECENT_EVENTS.newest())
            self._client.set(keys.worker_log(self._worker_id, ticket), events, ex=ORDER_KEPT_S)


def stacks_of_threads() -> Iterator[str]:
    """The stack of each thread of this process but the calling one: code without values."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident != threading.get_ident():
            lines = "".join(traceback.format_stack(frame))
            yield f"Thread {names.get(ident, ident)}\n{lines}"
