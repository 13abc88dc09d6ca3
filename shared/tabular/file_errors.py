"""Translates the errors of libraries about unreadable files for the sender.

Library messages mention internal settings, buffers and sources, and may quote the file. They are not sent.
"""

from __future__ import annotations

import re

_CUT_OFF = "it is cut off"
_REASONS: tuple[tuple[str, str], ...] = (
    (r"straddl|block boundar|block_size", "a line is longer than 1 MiB"),
    (
        r"magic bytes|not a parquet|parquet file size|parquet.*(smaller|less)",
        "it does not end like a Parquet file",
    ),
    (r"thrift|footer|page header|column chunk|metadata", "its metadata is damaged"),
    (r"invalid utf|utf-?8|codec can't decode", "it is not UTF-8: declare its charset, such as charset=cp949"),
    (
        r"truncated|unexpected end|end of (file|stream)|but only (read|got)|expected to .*read|eof",
        _CUT_OFF,
    ),
    (
        r"inflate|zstd|gzip|decompress|codec|unknown frame|lz4|snappy",
        "its compressed data is damaged or has another encoding",
    ),
    (r"quote", "a quoted value does not end"),
    (r"flatbuffer|schema message|ipc|continuation", "it is not Arrow data, or is damaged"),
    (r"memory|allocat|capacity", "it needs more memory than is available"),
)
_PATTERNS = [(re.compile(pattern, re.IGNORECASE), reason) for pattern, reason in _REASONS]
OTHERWISE = "it is damaged, or has another format"


def reason_of(error: Exception) -> str:
    """Returns why a file cannot be read, as text for its sender."""
    text = str(error)[:2000]
    return next((reason for pattern, reason in _PATTERNS if pattern.search(text)), OTHERWISE)
