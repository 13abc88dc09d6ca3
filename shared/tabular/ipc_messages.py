"""Arrow IPC messages, looked at before Arrow unpacks them: a few bytes may declare terabytes.

The layout is that of Arrow's format/Message.fbs and format/File.fbs, in FlatBuffers' wire format.

A stream may end without an end mark in Arrow's specification. Here it must have one, which every common
writer writes when it is closed: a stream that is cut between two messages looks the same without it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from shared.errors import InvalidInput
from shared.tabular.decoding import ByteSource, Piecewise

MOST_UNPACKED_BYTES = 256 * 2**20
"""Of one record batch."""
_HEADER, _DATA, _BUFFERS, _COMPRESSION, _FOOTER_BATCHES = 2, 1, 2, 3, 3
"""Places of the fields that are looked at: of Message, DictionaryBatch, RecordBatch and Footer."""
_MAGIC = b"ARROW1"
_TAIL_BYTES = 4 + len(_MAGIC)
_MOST_FOOTER_BYTES = 32 * 2**20


def checked(source: ByteSource, ending: Ending) -> Iterator[pa.ipc.Message]:
    """An IPC stream, message by message, up to its end mark.

    Raises InvalidInput if a message would unpack too large, if the end mark is missing, and if what follows
    it is not what `ending` allows.
    """
    watched = _Watched(source)
    stream = pa.PythonFile(watched, mode="r")
    batches = 0
    while True:
        try:
            message = pa.ipc.read_message(stream)
        except EOFError:
            break
        except (pa.ArrowException, OSError):
            if not watched.at_end:
                raise
            reason = f"after {batches} record batches it ends within a message"
            raise InvalidInput(f"The body is cut off: {reason}.") from None
        check(message)
        batches += message.type == "record batch"
        yield message
    if not watched.at_end_mark:
        raise InvalidInput(
            f"The body is cut off: after {batches} record batches it lacks the end mark of an Arrow stream. "
            "Close its writer before you send it."
        )
    ending(source, batches)


Ending: TypeAlias = Callable[[ByteSource, int], None]
"""Checks what follows the end mark of a stream of so many record batches. Raises InvalidInput."""


def nothing_follows(source: ByteSource, _batches: int) -> None:
    """The end of a body that is one Arrow stream."""
    if source.read(1):
        raise InvalidInput(
            "The body goes on after the end mark of its Arrow stream: send one stream, not several in a row."
        )


def footer_follows(source: ByteSource, batches: int) -> None:
    """The end of an Arrow file: its footer, which lists the record batches, and its magic."""
    rest = source.read(_MOST_FOOTER_BYTES)
    if not rest.endswith(_MAGIC) or len(rest) < _TAIL_BYTES:
        raise InvalidInput("The body is cut off, or goes on after its end: an Arrow file ends with ARROW1.")
    (size,) = struct.unpack_from("<i", rest, len(rest) - _TAIL_BYTES)
    begin = len(rest) - _TAIL_BYTES - size
    try:
        if not 0 <= begin < len(rest) - _TAIL_BYTES or rest[:begin].strip(b"\0"):
            raise struct.error("the footer does not follow the end mark")
        footer = rest[begin:-_TAIL_BYTES]
        listed = _Table(footer, _offset(footer, 0)).count(_FOOTER_BATCHES)
    except struct.error:
        raise InvalidInput("The body is not an Arrow file: its footer cannot be read.") from None
    if listed != batches:
        raise InvalidInput(
            f"The Arrow file is not whole: its footer lists {listed} record batches, but it holds {batches}."
        )


class _Watched(io.RawIOBase):
    """A file that keeps what was read last: an end mark, or nothing because the file is over."""

    def __init__(self, source: ByteSource) -> None:
        super().__init__()
        self._source = source
        self._last = b""
        self.at_end = False
        """Whether less was read than was asked for."""

    @property
    def at_end_mark(self) -> bool:
        """Whether a length of zero was read last, and not the file's end."""
        return self._last == bytes(4)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self._last = self._source.read(size)
        self.at_end = len(self._last) < size
        return self._last


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
    """Raises InvalidInput if the message declares more than a gateway may hold."""
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

    def count(self, place: int) -> int:
        """The length of a vector."""
        at = self._field(place)
        return 0 if at is None else _offset(self.data, at + _offset(self.data, at))

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
