"""Decodes a text file in any charset to blocks of UTF-8. Every byte is validated before a reader gets it."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from shared.errors import InvalidInputError
from shared.tabular.charsets import UTF_8, cut_within_character, not_of_charset, of_body
from shared.tabular.decompression import ByteSource

_LINE_BYTES = 1024
"""Number of bytes before an invalid byte that are kept for the error message."""


class Text:
    """The blocks of a text without its byte order mark. Iterate once.

    Iterating raises InvalidInputError at an invalid byte, and if the text ends within a character.
    """

    def __init__(self, source: ByteSource, charset: str | None, block_bytes: int) -> None:
        self._source = source
        self._block_bytes = block_bytes
        self._head = source.read(block_bytes)
        self._codec, self._mark_bytes = of_body(self._head, charset)
        self._declared = bool(charset) or self._mark_bytes > 0
        self._decoder = codecs.getincrementaldecoder(self._codec)("strict")
        self._place = self._mark_bytes  # offset of the next block in the body
        self._lines = 0
        self._line = b""  # the unfinished line before the next block

    def __iter__(self) -> Iterator[bytes]:
        block, self._head = self._head[self._mark_bytes :], b""
        while block:
            yield self._decoded(block, final=False)
            block = self._source.read(self._block_bytes)
        if rest := self._decoded(b"", final=True):
            yield rest

    def _decoded(self, block: bytes, *, final: bool) -> bytes:
        pending = self._decoder.getstate()[0]
        try:
            text = self._decoder.decode(block, final=final)
        except UnicodeDecodeError as error:
            raise self._invalid(block, len(pending), error.start, final=final) from None
        decoded = block if self._codec == UTF_8 else text.encode()
        self._place += len(block)
        self._lines += decoded.count(b"\n")
        self._line = (self._line + block)[-_LINE_BYTES:].rpartition(b"\n")[2]
        return decoded

    def _invalid(self, block: bytes, pending_bytes: int, start: int, *, final: bool) -> InvalidInputError:
        """`start` is the offset of the failure, counted from the decoder's pending bytes."""
        if final:
            return InvalidInputError(cut_within_character(self._codec, 1 + self._lines))
        at = start - pending_bytes
        before = (self._line + block[: max(0, at)])[: len(self._line) + at]
        line = before[-_LINE_BYTES:].rpartition(b"\n")[2]
        after = (self._line + block)[len(self._line) + at :][:_LINE_BYTES]
        message = not_of_charset(
            self._codec,
            declared=self._declared,
            line=1 + self._lines + self._line_ends(block[: max(0, at)]),
            place=self._place + at,
            line_bytes=line + after.partition(b"\n")[0],
            at=len(line),
        )
        return InvalidInputError(message)

    def _line_ends(self, data: bytes) -> int:
        return data.decode(self._codec, "ignore").count("\n")
