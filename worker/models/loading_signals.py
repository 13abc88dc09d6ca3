"""SIGTERM and SIGINT while models load.

Python runs a signal handler between two bytecodes of its main thread. While it imports a framework or
unpickles a model, that thread may be in native code for a minute, so a handler would run too late. The
process holds no work while models load, so the default action of the system is correct: end at once. The
heartbeat expires by itself.
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
