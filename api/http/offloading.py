"""Where blocking work on a body is done: small bodies on the event loop, larger ones in a thread.

A turn of a thread costs more than a small body does, and wakes another for the interpreter's lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

SMALL_BYTES = 16 * 1024
"""About a millisecond of parsing and encoding: `/predict` takes bodies of that size on the loop, too."""


async def offloaded(size_bytes: int, work: Callable[[], T]) -> T:
    """What `work` returns; it computes, and touches neither disk nor network."""
    return work() if size_bytes <= SMALL_BYTES else await asyncio.to_thread(work)
