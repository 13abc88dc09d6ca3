"""`Content-Encoding: deflate`: zlib (RFC 1950), or raw DEFLATE, which old clients send under that name."""

from __future__ import annotations

import zlib

from shared.errors import InvalidInputError
from shared.tabular.decompression import ByteSource, Piecewise

_BLOCK_BYTES = 2**18
_NOT_DEFLATE = "The body is not deflate: it is damaged, or has another encoding."


class Inflated(Piecewise):
    """The decompressed stream, in pieces of limited size.

    Reads raise InvalidInputError if it is damaged or truncated.
    """

    def __init__(self, source: ByteSource) -> None:
        super().__init__()
        self._source = source
        head = source.read(2)
        self._packed = head
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS if _has_zlib_head(head) else -zlib.MAX_WBITS)

    def _next(self) -> bytes:
        packed = self._packed or self._source.read(_BLOCK_BYTES)
        try:
            data = self._inflater.decompress(packed, _BLOCK_BYTES)
        except zlib.error:
            raise InvalidInputError(_NOT_DEFLATE) from None
        self._packed = self._inflater.unconsumed_tail
        self._ended = self._inflater.eof
        if self._ended and (self._inflater.unused_data or self._source.read(1)):
            raise InvalidInputError("The body is not deflate: data follows the end of its stream.")
        if not packed and not data and not self._ended:
            raise InvalidInputError("The body is cut off: its deflate stream does not end.")
        return data


def _has_zlib_head(head: bytes) -> bool:
    return len(head) == 2 and head[0] & 0x0F == 8 and int.from_bytes(head, "big") % 31 == 0
