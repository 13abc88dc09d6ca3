"""Checks of Arrow IPC messages before Arrow decompresses them: a few bytes may declare terabytes.

The layout is defined by Arrow's format/Message.fbs and format/File.fbs, in the FlatBuffers wire format.

Arrow's specification allows a stream without an end mark. Takt requires the mark, which every common writer
writes on close, because a stream truncated between two messages cannot be recognized without it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from shared.errors import InvalidInputError
from shared.tabular.decompression import ByteSource, Piecewise

MOST_UNPACKED_BYTES = 256 * 2**20
"""Maximum size of a decompressed record batch."""
_HEADER, _DATA, _BUFFERS, _COMPRESSION, _FOOTER_BATCHES = 2, 1, 2, 3, 3
"""Positions of the examined fields of Message, DictionaryBatch, RecordBatch and Footer."""
_MAGIC = b"ARROW1"
_TAIL_BYTES = 4 + len(_MAGIC)
_MOST_FOOTER_BYTES = 32 * 2**20


def checked(source: ByteSource, ending: Ending) -> Iterator[pa.ipc.Message]:
    """Yields the messages of an IPC stream up to its end mark.

    Raises InvalidInputError if a message would decompress too large, if the end mark is missing, and if
    `ending`
    rejects the data after it.
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
            raise InvalidInputError(f"The body is cut off: {reason}.") from None
        check(message)
        batches += message.type == "record batch"
        yield message
    if not watched.at_end_mark:
        raise InvalidInputError(
            f"The body is cut off: after {batches} record batches, the Arrow stream's end mark is missing. "
            "Close the writer before you send the file."
        )
    ending(source, batches)


Ending: TypeAlias = Callable[[ByteSource, int], None]
"""Checks the data after the end mark, given the number of record batches. Raises InvalidInputError."""


def nothing_follows(source: ByteSource, _batches: int) -> None:
    """Requires that the body ends with the Arrow stream."""
    if source.read(1):
        raise InvalidInputError("Data follows the end mark of the Arrow stream: send a single stream.")


def footer_follows(source: ByteSource, batches: int) -> None:
    """Requires the end of an Arrow file: a footer that lists the record batches, and the magic number."""
    rest = source.read(_MOST_FOOTER_BYTES)
    if not rest.endswith(_MAGIC) or len(rest) < _TAIL_BYTES:
        raise InvalidInputError(
            "The body does not end with ARROW1: it is cut off, or data follows the Arrow file."
        )
    (size,) = struct.unpack_from("<i", rest, len(rest) - _TAIL_BYTES)
    begin = len(rest) - _TAIL_BYTES - size
    try:
        if not 0 <= begin < len(rest) - _TAIL_BYTES or rest[:begin].strip(b"\0"):
            raise struct.error("the footer does not follow the end mark")
        footer = rest[begin:-_TAIL_BYTES]
        listed = _Table(footer, _offset(footer, 0)).count(_FOOTER_BATCHES)
    except struct.error:
        raise InvalidInputError("The body is not an Arrow file: its footer cannot be read.") from None
    if listed != batches:
        raise InvalidInputError(
            f"The Arrow file is incomplete: its footer lists {listed} record batches, the file has {batches}."
        )


class _Watched(io.RawIOBase):
    """A file that remembers the last read, to distinguish an end mark from the end of the file."""

    def __init__(self, source: ByteSource) -> None:
        super().__init__()
        self._source = source
        self._last = b""
        self.at_end = False
        """Whether the last read was incomplete."""

    @property
    def at_end_mark(self) -> bool:
        """Whether the last read returned a length of zero, not the end of the file."""
        return self._last == bytes(4)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self._last = self._source.read(size)
        self.at_end = len(self._last) < size
        return self._last


class Rewritten(Piecewise):
    """A stream that is serialized from messages."""

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
    """Raises InvalidInputError if the message declares a batch that is too large."""
    if message.type not in ("record batch", "dictionary"):
        return
    try:
        unpacked_bytes = _unpacked_bytes(message)
    except struct.error:
        raise InvalidInputError("The body is not Arrow: the metadata of a message is invalid.") from None
    if unpacked_bytes > MOST_UNPACKED_BYTES:
        raise InvalidInputError(
            f"A record batch decompresses to more than {MOST_UNPACKED_BYTES} bytes: write smaller batches."
        )


def _unpacked_bytes(message: pa.ipc.Message) -> int:
    """Returns the declared size of a batch's buffers before compression; 0 if they are not compressed."""
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
    """A FlatBuffers table at an offset of its buffer. Methods raise struct.error if it points outside."""

    data: bytes
    at: int

    def table(self, place: int) -> _Table | None:
        at = self._field(place)
        return None if at is None else _Table(self.data, at + _offset(self.data, at))

    def pairs(self, place: int) -> list[tuple[int, int]]:
        """Returns a vector of structs of two 64-bit numbers."""
        at = self._field(place)
        if at is None:
            return []
        start = at + _offset(self.data, at)
        count = _offset(self.data, start)
        if count > len(self.data) // 16:
            raise struct.error("a vector is longer than its buffer")
        return [struct.unpack_from("<qq", self.data, start + 4 + 16 * i) for i in range(count)]

    def count(self, place: int) -> int:
        """Returns the length of a vector."""
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
