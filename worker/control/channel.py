"""Whole messages over a Unix socket, with file descriptors if needed. Nothing is pickled.

A frame is the length of its body (four bytes), the number of its descriptors (one byte), whether the body is
in a file (one byte), and the body. A large body is in a memory file, whose descriptor comes first: a sender
never waits for a receiver that has not begun to read.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
from array import array
from collections import deque
from collections.abc import Sequence
from typing import Self

import msgspec

_HEADER = struct.Struct("<IB?")
_READ_BYTES = 1 << 18
_MOST_DESCRIPTORS = 16
_MOST_INLINE_BYTES = 1 << 14
SEND_LIMIT_S = 5.0
"""How long a receiver may leave its socket full before it counts as lost."""


class ChannelClosedError(Exception):
    """The other side has ended, or no longer reads."""


class Channel:
    """One end of a Unix socket pair. One thread may send while another receives."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._encoder = msgspec.msgpack.Encoder()
        self._read = bytearray()
        self._descriptors: deque[int] = deque()

    @classmethod
    def pair(cls) -> tuple[Self, socket.socket]:
        """This side's channel, and the socket for another process."""
        own, other = socket.socketpair()
        return cls(own), other

    @classmethod
    def of_descriptor(cls, descriptor: int) -> Self:
        """The channel of an inherited descriptor."""
        return cls(socket.socket(fileno=descriptor))

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: msgspec.Struct, descriptors: Sequence[int] = ()) -> None:
        """Send a message; the receiver gets copies of the descriptors. Raises ChannelClosedError."""
        body = self._encoder.encode(message)
        if len(body) <= _MOST_INLINE_BYTES or not hasattr(os, "memfd_create"):
            self._send(body, descriptors, in_file=False)
            return
        file = os.memfd_create("message")
        try:
            with os.fdopen(file, "wb", closefd=False) as writer:
                writer.write(body)
            self._send(b"", [file, *descriptors], in_file=True)
        finally:
            os.close(file)

    def _send(self, body: bytes, descriptors: Sequence[int], *, in_file: bool) -> None:
        frame = memoryview(_HEADER.pack(len(body), len(descriptors), in_file) + body)
        try:
            while frame:
                sent = self._send_some(frame, descriptors)
                frame, descriptors = frame[sent:], descriptors if not sent else ()
        except OSError as error:
            raise ChannelClosedError(str(error)) from error

    def _send_some(self, frame: memoryview, descriptors: Sequence[int]) -> int:
        """→ the bytes sent; 0: wait and try again. The socket itself stays blocking: another thread may be
        receiving."""
        try:
            # not socket.send_fds, which ignores its flags
            return self._socket.sendmsg([frame], _rights(descriptors), socket.MSG_DONTWAIT)
        except BlockingIOError:
            if not select.select([], [self._socket], [], SEND_LIMIT_S)[1]:
                raise TimeoutError("the receiver does not read") from None
            return 0

    def receive(self) -> list[tuple[bytes, list[int]]]:
        """Wait for data. → the bodies that are complete by now, with their descriptors.

        Raises ChannelClosedError once the other side is closed and all its messages have been returned.
        """
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, _READ_BYTES, _MOST_DESCRIPTORS)
        except OSError as error:
            raise ChannelClosedError(str(error)) from error
        self._descriptors.extend(descriptors)
        if not data:
            raise ChannelClosedError("the other side is closed")
        self._read += data
        return list(iter(self._whole, None))

    def forget(self) -> None:
        """In a fork that has closed the descriptors of its parent: do not close this one again."""
        self._socket.detach()

    def close(self) -> None:
        for descriptor in self._descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._descriptors.clear()
        self._socket.close()

    def _whole(self) -> tuple[bytes, list[int]] | None:
        if len(self._read) < _HEADER.size:
            return None
        length, count, in_file = _HEADER.unpack_from(self._read)
        end = _HEADER.size + length
        if len(self._read) < end:
            return None
        body = bytes(self._read[_HEADER.size : end])
        del self._read[:end]
        descriptors = [self._descriptors.popleft() for _ in range(count)]
        return (_content(descriptors.pop(0)), descriptors) if in_file else (body, descriptors)


def _rights(descriptors: Sequence[int]) -> list[tuple[int, int, array[int]]]:
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []


def _content(file: int) -> bytes:
    """The content of a memory file, which is closed."""
    with os.fdopen(file, "rb") as reader:
        reader.seek(0)
        return reader.read()
