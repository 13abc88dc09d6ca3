"""Frames between a worker and its quarantine process, over pipes. Nothing is pickled.

    worker ── TASK ─▶ process ── fork ─▶ run
    worker ◀─ READY ─ process ◀── RESULT, … , DONE | SICK ── run
           ◀─ RESULT, …, DONE | SICK | DIED ── process

A frame is its kind (1 byte), the length of its body (8 bytes) and the body.
"""

from __future__ import annotations

import os
import select
import struct
import time
from enum import Enum

import msgspec

from shared.messages import Column

LOAD_LIMIT_S = 300.0
"""Time limit for loading a model in a quarantine process; both its parent and its child apply it."""
_HEADER = struct.Struct("<cQ")
_READ_BYTES = 1 << 16


class FrameKind(Enum):
    TASK = b"t"  # a `Task`
    READY = b"y"  # the model is loaded
    RESULT = b"r"  # results of the next rows, as an Arrow IPC stream
    DONE = b"e"  # all rows of the task have run; the body is the time of the model calls in s
    SICK = b"s"  # the golden rows failed; the body is the reason
    DIED = b"d"  # the process that ran the task has ended; the body is the reason


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Rows to run, in steps. A task without rows runs only the golden rows."""

    rows: bytes = b""  # an Arrow IPC stream of inputs
    columns: list[list[Column]] = []  # or rows as online entries have them
    column_rows: list[int] = []  # of each entry
    background: bool = False  # from this task on, the process runs only on an idle processor
    step_rows: int = 1
    limit_s: float  # of a step


Frame = tuple[FrameKind, bytes]


def write_frame(descriptor: int, kind: FrameKind, body: bytes = b"") -> None:
    """Write a frame. Raises OSError if the pipe has no reader."""
    left = memoryview(_HEADER.pack(kind.value, len(body)) + body)
    while left:
        left = left[os.write(descriptor, left) :]


class Frames:
    """Reads whole frames from a pipe. A truncated frame is never returned."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._read = bytearray()

    def next(self, timeout_s: float) -> Frame | None:
        """The next frame; None if none is complete in time. Raises EOFError at the end of the pipe."""
        end_s = time.monotonic() + timeout_s
        while (frame := self._whole()) is None:
            left_ms = max(0.0, end_s - time.monotonic()) * 1000
            if not self._poll.poll(left_ms):
                return None
            got = os.read(self._descriptor, _READ_BYTES)
            if not got:
                raise EOFError
            self._read += got
        return frame

    def _whole(self) -> Frame | None:
        if len(self._read) < _HEADER.size:
            return None
        kind, length = _HEADER.unpack_from(self._read)
        end = _HEADER.size + length
        if len(self._read) < end:
            return None
        body = bytes(self._read[_HEADER.size : end])
        del self._read[:end]
        return FrameKind(kind), body


def hung_up(descriptor: int) -> bool:
    """Whether the other side of a pipe is closed."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return bool(poll.poll(0))
