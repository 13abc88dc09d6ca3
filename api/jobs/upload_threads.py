"""The threads that parse uploads: one each, and no more uploads at a time than there are threads."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from api.jobs.upload_pipe import Pipe
from shared.errors import Overloaded

_RETRY_AFTER_S = 5.0
_NICE = 10


def _yield_to_requests() -> None:
    """Let the system prefer the event loop to this thread. On Linux alone is a thread's priority its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


class UploadThreads:
    """Owned by the gateway. They are none of asyncio's own, which an upload would hold for minutes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pipes: set[Pipe] = set()
        self._held = 0
        self.pool = ThreadPoolExecutor(most, thread_name_prefix="upload", initializer=_yield_to_requests)

    @property
    def running(self) -> int:
        """How many uploads are read now."""
        return self._held

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep a thread free for the block: entered before anything is left behind of an upload.

        Raises Overloaded if all threads are taken.
        """
        if self._held >= self._most:
            raise Overloaded(
                f"This gateway reads {self._most} uploads already.", retry_after_s=_RETRY_AFTER_S
            )
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    @contextmanager
    def reading(self, pipe: Pipe) -> Iterator[None]:
        """The block reads `pipe` in the thread that its upload holds; `break_off` ends it."""
        self._pipes.add(pipe)
        try:
            yield
        finally:
            self._pipes.remove(pipe)

    def break_off(self) -> None:
        """End every upload that is under way; its request fails its job."""
        for pipe in list(self._pipes):
            pipe.break_off()

    def close(self) -> None:
        """Take nothing more; uploads that still run are broken off by their requests."""
        self.pool.shutdown(wait=False, cancel_futures=True)
