"""Streams between a request body and a file reader: decompression, size limit, digest."""

from __future__ import annotations

import hashlib
import io
from abc import abstractmethod
from typing import Protocol

import pyarrow as pa

from shared.errors import InvalidInputError, PayloadTooLargeError
from shared.tabular.content_types import Packing

MOST_READ_BYTES = 128 * 2**20
"""The largest read of a reader, and so the largest Arrow record batch."""
_BLOCK_BYTES = 2**20
_MAGIC_BYTES = 4
_SKIPPABLE = tuple(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60))
_MAGICS = {Packing.GZIP: (b"\x1f\x8b",), Packing.ZSTD: (b"\x28\xb5\x2f\xfd", *_SKIPPABLE)}


class ByteSource(Protocol):
    """A readable file object."""

    def read(self, size: int = -1, /) -> bytes: ...


def unpacked(source: ByteSource, packing: Packing) -> ByteSource:
    """Returns the decompressed stream. gzip may have several members, zstd several frames.

    Raises InvalidInputError if the file does not begin with the magic number of its encoding.
    """
    if packing is Packing.NONE:
        return source
    if packing is Packing.DEFLATE:
        from shared.tabular.deflate import Inflated  # imported late: it depends on this module

        return Inflated(source)
    head = source.read(_MAGIC_BYTES)
    if not any(head.startswith(magic) for magic in _MAGICS[packing]):
        raise InvalidInputError(
            f"The body is not {packing}: it is not compressed with it. Compress it, or omit Content-Encoding."
        )
    stream: ByteSource = pa.CompressedInputStream(
        pa.PythonFile(Rejoined(head, source), mode="r"), packing.value
    )
    return stream


class Rejoined(io.RawIOBase):
    """A stream with a head that was read before."""

    def __init__(self, head: bytes, rest: ByteSource) -> None:
        super().__init__()
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._head:
            return self._rest.read(size)
        if size < 0:
            data, self._head = self._head, b""
            return data + self._rest.read(size)
        data, self._head = self._head[:size], self._head[size:]
        return data if len(data) == size else data + self._rest.read(size - len(data))


class Meter(io.RawIOBase):
    """A stream that counts its bytes, limits them, and optionally computes their digest.

    Reads raise PayloadTooLargeError beyond the limit, and InvalidInputError if a single read is too large for
    memory.
    """

    def __init__(self, source: ByteSource, most_bytes: int, *, digested: bool) -> None:
        super().__init__()
        self._source = source
        self._most_bytes = most_bytes
        self._digest = hashlib.sha256() if digested else None
        self.size_bytes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size > MOST_READ_BYTES:
            raise InvalidInputError(
                f"A record batch is larger than {MOST_READ_BYTES} bytes: write smaller ones."
            )
        data = self._source.read(size if size >= 0 else _BLOCK_BYTES)
        self.size_bytes += len(data)
        if self.size_bytes > self._most_bytes:
            raise PayloadTooLargeError(f"The body is larger than {self._most_bytes} bytes.")
        if self._digest is not None:
            self._digest.update(data)
        return data

    def drain(self) -> None:
        """Read to the end, so that size and digest cover the whole body."""
        while self.read(_BLOCK_BYTES):
            pass

    def hexdigest(self) -> str:
        """Returns the SHA-256 of the bytes read; empty if no digest was requested."""
        return "" if self._digest is None else self._digest.hexdigest()


class Piecewise(io.RawIOBase):
    """A stream that is read from pieces of any length."""

    def __init__(self) -> None:
        super().__init__()
        self._ready = b""
        self._ended = False

    @abstractmethod
    def _next(self) -> bytes:
        """Returns the next piece; sets `_ended` with the last."""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._ended and (size < 0 or len(self._ready) < size):
            self._ready += self._next()
        stop = len(self._ready) if size < 0 else size
        data, self._ready = self._ready[:stop], self._ready[stop:]
        return data
