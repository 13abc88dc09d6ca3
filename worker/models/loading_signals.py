"""SIGTERM and SIGINT before the first model is loaded.

Python runs a signal handler between two bytecodes of its main thread. While a thread imports a framework or
unpickles a model, native code may hold the GIL for a minute, so a handler would run too late. Until a model
is loaded the process holds no work, so the default action of the system is correct: end at once. The
heartbeat expires by itself.

A worker that serves stops in order, even if further models are loading. Native code that holds the GIL delays
the stop; engine, heartbeat and leases make no progress meanwhile either, and the supervisor kills the process
at the end of the grace, as after any other hang.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def ended_at_once_by_signals() -> Iterator[None]:
    """Within the block SIGTERM and SIGINT end the process at once; an ignored signal stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may change handlers
        return
    handled = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, signal.SIG_DFL) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
