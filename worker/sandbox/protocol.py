"""Frames: what a worker and its quarantine process say to each other over pipes. Never pickled.

    worker ── TASK ─▶ cell ── fork ─▶ run
    worker ◀─ READY ─ cell ◀── RESULT, … , DONE | SICK ── run
           ◀─ RESULT, …, DONE | SICK | DIED ── cell

A frame is a kind (one byte), the length of its body (eight) and the body.
"""

from __future__ import annotations

import os
import select
import struct
import time
from enum import Enum

import msgspec

LOAD_LIMIT_S = 300.0
"""How long a quarantine process may take to load its model: its parent and its child wait for so long."""
_HEADER = struct.Struct("<cQ")
_READ_BYTES = 1 << 16


class FrameKind(Enum):
    TASK = b"t"  # a `Task`
    READY = b"y"  # the model is loaded
    RESULT = b"r"  # results of the next rows, as an Arrow IPC stream
    DONE = b"e"  # all rows of the task have run
    SICK = b"s"  # the golden rows failed; the body says how
    DIED = b"d"  # the process that ran the task is gone; the body says how it ended


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Rows to run, in steps. Without rows: only answer the golden rows."""

    rows: bytes = b""  # an Arrow IPC stream of inputs
    step_rows: int = 1
    limit_s: float  # of one step


Frame = tuple[FrameKind, bytes]


def write_frame(descriptor: int, kind: FrameKind, body: bytes = b"") -> None:
    """Raises OSError where nobody reads."""
    left = memoryview(_HEADER.pack(kind.value, len(body)) + body)
    while left:
        left = left[os.write(descriptor, left) :]


class Frames:
    """Whole frames of a pipe. One that breaks off is never seen."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._read = bytearray()

    def next(self, timeout_s: float) -> Frame | None:
        """The next frame; None where none was whole in time. Raises EOFError at the pipe's end."""
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
    """Whether the other side of a pipe is gone."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return bool(poll.poll(0))
