"""CPU work on request bodies: on the event loop for small bodies, in a thread for large bodies.

For a small body, the switch to a thread costs more than the work, and the thread competes for the GIL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

SMALL_BYTES = 16 * 1024
"""About a millisecond of parsing and encoding. `/predict` parses such bodies on the event loop, too."""


async def offloaded(size_bytes: int, work: Callable[[], T]) -> T:
    """Run `work` and return its result. `work` may only compute; it must not use disk or network."""
    return work() if size_bytes <= SMALL_BYTES else await asyncio.to_thread(work)
