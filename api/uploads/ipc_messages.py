"""Arrow IPC messages, looked at before Arrow unpacks them: a few bytes may declare terabytes.

The layout is that of Arrow's format/Message.fbs, in FlatBuffers' wire format.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from api.uploads.decoding import ByteSource, Piecewise
from shared.errors import InvalidInput

MOST_UNPACKED_BYTES = 256 * 2**20
"""Of one record batch."""
_HEADER, _DATA, _BUFFERS, _COMPRESSION = 2, 1, 2, 3
"""Places of the fields that are looked at: of Message, DictionaryBatch and RecordBatch."""


def checked(source: ByteSource) -> Iterator[pa.ipc.Message]:
    """An IPC stream, message by message. Raises InvalidInput where one would unpack too large."""
    stream = pa.PythonFile(source, mode="r")
    while True:
        try:
            message = pa.ipc.read_message(stream)
        except EOFError:
            return
        check(message)
        yield message


class Rewritten(Piecewise):
    """Messages as the stream that they came from."""

    def __init__(self, messages: Iterator[pa.ipc.Message]) -> None:
        super().__init__()
        self._messages = messages

    def _next(self) -> bytes:
        message = next(self._messages, None)
        if message is None:
            self._ended = True
            return b""
        written: bytes = message.serialize().to_pybytes()
        return written


def check(message: pa.ipc.Message) -> None:
    """Raises InvalidInput where the message declares more than a gateway may hold."""
    if message.type not in ("record batch", "dictionary"):
        return
    try:
        unpacked_bytes = _unpacked_bytes(message)
    except struct.error:
        raise InvalidInput("The body is not Arrow: the metadata of a message points out of it.") from None
    if unpacked_bytes > MOST_UNPACKED_BYTES:
        raise InvalidInput(
            f"A record batch unpacks to more than {MOST_UNPACKED_BYTES} bytes: write smaller ones."
        )


def _unpacked_bytes(message: pa.ipc.Message) -> int:
    """What the buffers of a batch say of their length before compression; 0 where they are not compressed."""
    metadata = message.metadata.to_pybytes()
    batch = _Table(metadata, _offset(metadata, 0)).table(_HEADER)
    if batch is not None and message.type == "dictionary":
        batch = batch.table(_DATA)
    if batch is None or batch.table(_COMPRESSION) is None:
        return 0
    body = message.body
    declared = 0
    for start, length in batch.pairs(_BUFFERS):
        if length >= 8:
            (unpacked,) = struct.unpack("<q", body.slice(max(0, start), 8).to_pybytes())
            declared += max(0, unpacked)
    return declared


@dataclass(frozen=True)
class _Table:
    """A FlatBuffers table at a place of its buffer. Methods raise struct.error where it points outside."""

    data: bytes
    at: int

    def table(self, place: int) -> _Table | None:
        at = self._field(place)
        return None if at is None else _Table(self.data, at + _offset(self.data, at))

    def pairs(self, place: int) -> list[tuple[int, int]]:
        """A vector of structs of two 64-bit numbers."""
        at = self._field(place)
        if at is None:
            return []
        start = at + _offset(self.data, at)
        count = _offset(self.data, start)
        if count > len(self.data) // 16:
            raise struct.error("a vector is longer than its buffer")
        return [struct.unpack_from("<qq", self.data, start + 4 + 16 * i) for i in range(count)]

    def _field(self, place: int) -> int | None:
        fields = self.at - struct.unpack_from("<i", self.data, self.at)[0]
        if fields < 0:
            raise struct.error("a table has no fields")
        (size,) = struct.unpack_from("<H", self.data, fields)
        if 4 + 2 * place >= size:
            return None
        (offset,) = struct.unpack_from("<H", self.data, fields + 4 + 2 * place)
        return self.at + offset if offset else None


def _offset(data: bytes, at: int) -> int:
    found: int = struct.unpack_from("<I", data, at)[0]
    return found
