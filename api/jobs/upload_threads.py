"""Threads that parse uploads. Each upload has a thread, and the number of threads limits the uploads."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from api.jobs.upload_pipe import Pipe
from shared.errors import OverloadedError

_RETRY_AFTER_S = 5.0
_NICE = 10


def _yield_to_requests() -> None:
    """Lower this thread's priority below the event loop's. Only Linux has priorities by thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


class UploadThreads:
    """The gateway's upload threads, separate from asyncio's: an upload holds its thread for minutes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pipes: set[Pipe] = set()
        self._held = 0
        self.pool = ThreadPoolExecutor(most, thread_name_prefix="upload", initializer=_yield_to_requests)

    @property
    def running(self) -> int:
        """Number of uploads in progress."""
        return self._held

    @contextmanager
    def held(self) -> Iterator[None]:
        """Reserve a thread for the block. Enter it before the upload creates any state.

        Raises Overloaded if all threads are reserved.
        """
        if self._held >= self._most:
            raise OverloadedError(
                f"This gateway already reads {self._most} uploads.", retry_after_s=_RETRY_AFTER_S
            )
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    @contextmanager
    def reading(self, pipe: Pipe) -> Iterator[None]:
        """Register `pipe` while the block reads it, so that `break_off` can end it."""
        self._pipes.add(pipe)
        try:
            yield
        finally:
            self._pipes.remove(pipe)

    def break_off(self) -> None:
        """Interrupt every upload in progress; its request fails its job."""
        for pipe in list(self._pipes):
            pipe.break_off()

    def close(self) -> None:
        """Accept no more uploads. Running uploads are interrupted by their requests."""
        self.pool.shutdown(wait=False, cancel_futures=True)
