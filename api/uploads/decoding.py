"""What lies between a body's bytes on the wire and a file that a reader takes: packing, limit, charset."""

from __future__ import annotations

import codecs
import hashlib
import io
from abc import abstractmethod
from typing import Any, Protocol

import pyarrow as pa

from api.uploads.formats import Packing
from shared.errors import InvalidInput, PayloadTooLarge, Problem

MOST_READ_BYTES = 128 * 2**20
"""The most that a reader may ask for at once: what one Arrow record batch may hold."""
_BLOCK_BYTES = 2**20


class ByteSource(Protocol):
    """A file that is only read."""

    def read(self, size: int = -1, /) -> bytes: ...


def unpacked(source: Any, packing: Packing) -> ByteSource:  # Any: a Python file, wrapped by Arrow
    """The file inside; gzip and zstd as they come, with several members or frames."""
    if packing is Packing.NONE:
        plain: ByteSource = source
        return plain
    if packing is Packing.DEFLATE:
        from api.uploads.inflating import Inflated  # which reads by a class of this module

        return Inflated(source)
    stream: ByteSource = pa.CompressedInputStream(pa.PythonFile(source, mode="r"), packing.value)
    return stream


class Meter(io.RawIOBase):
    """Passes a file on, counts it, digests it where that is asked for, and ends it at a limit.

    Reads raise PayloadTooLarge past the limit, and InvalidInput where a reader would have to hold too much.
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
            raise InvalidInput(f"A record batch is larger than {MOST_READ_BYTES} bytes: write smaller ones.")
        data = self._source.read(size if size >= 0 else _BLOCK_BYTES)
        self.size_bytes += len(data)
        if self.size_bytes > self._most_bytes:
            raise PayloadTooLarge(f"The body holds more than {self._most_bytes} bytes.")
        if self._digest is not None:
            self._digest.update(data)
        return data

    def drain(self) -> None:
        """Read what is left, so that size and digest are the whole body's."""
        while self.read(_BLOCK_BYTES):
            pass

    def hexdigest(self) -> str:
        """SHA-256 of what was read; empty where it is not digested."""
        return "" if self._digest is None else self._digest.hexdigest()


class Piecewise(io.RawIOBase):
    """A file that is read from pieces of any length."""

    def __init__(self) -> None:
        super().__init__()
        self._ready = b""
        self._ended = False

    @abstractmethod
    def _next(self) -> bytes:
        """The next piece; sets `_ended` with the last."""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._ended and (size < 0 or len(self._ready) < size):
            self._ready += self._next()
        stop = len(self._ready) if size < 0 else size
        data, self._ready = self._ready[:stop], self._ready[stop:]
        return data


class Transcoder(Piecewise):
    """A text file in any charset, as UTF-8. Reads raise InvalidInput where a byte does not belong."""

    def __init__(self, source: ByteSource, charset: str) -> None:
        super().__init__()
        self._source = source
        self._charset = charset
        self._decoder = codecs.getincrementaldecoder(charset)("strict")

    def _next(self) -> bytes:
        data = self._source.read(_BLOCK_BYTES)
        self._ended = not data
        try:
            return self._decoder.decode(data, final=self._ended).encode()
        except UnicodeError as error:
            raise InvalidInput(f"The body is not {self._charset}: {error}.") from None


def known_charset(name: str) -> str:
    """The codec's own name. Raises InvalidInput where Python has none that is for text."""
    try:
        "".encode(name)
        return codecs.lookup(name).name
    except (LookupError, UnicodeError, ValueError):
        reason = f"charset {name!r} is not known"
        problem = Problem(row=None, field="charset", loc=["charset"], msg=reason, type="invalid_parameter")
        raise InvalidInput(reason, problems=[problem]) from None
