"""SIGTERM and SIGINT while models load.

Python runs a signal's handler between two bytecodes of its main thread. That thread may be in native code for
a minute as it imports a framework or unpickles a model, and a handler would run only after that, long past
the grace. While models load this process holds no work, so the system's own action is right: it ends at once.
Its heartbeat expires by itself.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def ended_at_once_by_signals() -> Iterator[None]:
    """Within the block SIGTERM and SIGINT end the process without delay; one that is ignored stays so."""
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
