"""The threads that parse uploads: one each, and no more uploads at a time than there are threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from shared.errors import Overloaded

_RETRY_AFTER_S = 5.0


class UploadThreads:
    """Owned by the gateway. They are none of asyncio's own, which an upload would hold for minutes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self.pool = ThreadPoolExecutor(most, thread_name_prefix="upload")

    @contextmanager
    def one(self) -> Iterator[None]:
        """Keep a thread free for the block. Raises Overloaded where all are taken."""
        if self._taken >= self._most:
            raise Overloaded(
                f"This gateway reads {self._most} uploads already.", retry_after_s=_RETRY_AFTER_S
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    def close(self) -> None:
        """Take nothing more; uploads that still run are broken off by their requests."""
        self.pool.shutdown(wait=False, cancel_futures=True)
