"""What libraries say of a file that they cannot read → what its sender is told.

Their own words name their own settings, buffers and sources, and may quote the file: none of them is sent.
"""

from __future__ import annotations

import re

_CUT_OFF = "it is cut off"
_REASONS: tuple[tuple[str, str], ...] = (
    (r"straddl|block boundar|block_size", "a line is longer than 1 MiB"),
    (
        r"magic bytes|not a parquet|parquet file size|parquet.*(smaller|less)",
        "it does not end as a Parquet file does",
    ),
    (r"thrift|footer|page header|column chunk|metadata", "its description of its columns is damaged"),
    (r"invalid utf|utf-?8|codec can't decode", "it is not UTF-8: name its charset, as in charset=cp949"),
    (
        r"truncated|unexpected end|end of (file|stream)|but only (read|got)|expected to .*read|eof",
        _CUT_OFF,
    ),
    (
        r"inflate|zstd|gzip|decompress|codec|unknown frame|lz4|snappy",
        "its packed data is damaged, or not so packed",
    ),
    (r"quote", "a quoted value does not end"),
    (r"flatbuffer|schema message|ipc|continuation", "it is no Arrow data, or is damaged"),
    (r"memory|allocat|capacity", "it needs more memory than there is for it"),
)
_PATTERNS = [(re.compile(pattern, re.IGNORECASE), reason) for pattern, reason in _REASONS]
OTHERWISE = "it is damaged, or is of another format"


def reason_of(error: Exception) -> str:
    """Why a file cannot be read, in our words."""
    text = str(error)[:2000]
    return next((reason for pattern, reason in _PATTERNS if pattern.search(text)), OTHERWISE)
