"""A pipe from the event loop to a parsing thread, with back-pressure in both directions."""

from __future__ import annotations

import asyncio
import io
import threading
from collections import deque

from shared.errors import UploadInterruptedError


class Pipe(io.RawIOBase):
    """A file object for its reading thread. It buffers at most `most_bytes` and another part."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self._most_bytes = most_bytes
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._changed = threading.Condition()
        self._parts: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._full = False  # `put` waits for room
        self._whole = False
        self._broken = False

    async def put(self, data: bytes) -> bool:
        """Wait for room and add a part. → False if the pipe is broken off"""
        while True:
            with self._changed:
                if self._broken:
                    return False
                if self._waiting_bytes < self._most_bytes:
                    self._parts.append(data)
                    self._waiting_bytes += len(data)
                    self._changed.notify()
                    return True
                self._room.clear()
                self._full = True
            await self._room.wait()

    def end(self) -> None:
        """Mark the body as complete."""
        with self._changed:
            self._whole = True
            self._changed.notify()

    def break_off(self) -> None:
        """Stop writing and reading: `put` returns False, `read` raises. Thread-safe."""
        with self._changed:
            self._broken = self._full = True
            self._changed.notify()
        self._make_room()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return exactly `size` bytes, fewer only at the end. Raises UploadInterruptedError."""
        parts: list[bytes] = []
        missing = size if size >= 0 else 1 << 62
        while missing > 0 and (part := self._take(missing)):
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _take(self, most: int) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._parts or self._whole or self._broken)
            if self._broken:
                raise UploadInterruptedError
            if not self._parts:
                return b""
            part = self._parts.popleft()
            if len(part) > most:
                self._parts.appendleft(part[most:])
                part = part[:most]
            self._waiting_bytes -= len(part)
        self._make_room()
        return part

    def _make_room(self) -> None:
        """Wake `put` if it waits for room. Each call wakes the event loop, so that this is done only then."""
        with self._changed:
            was_full, self._full = self._full, False
        if was_full and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._room.set)
