"""Compression of responses: the coding that a client accepts (RFC 9110, 12.5.3)."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Mapping

_LEVEL = 1
LEAST_BYTES = 1024
"""Smaller bodies are not compressed: their time counts for more than their bytes."""
_CODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, _LEVEL, mtime=0),
    "deflate": lambda body: zlib.compress(body, _LEVEL),
}
_REFUSED = re.compile(r";\s*q\s*=\s*0(\.0*)?\s*$")


def coding_for(accept_encoding: bytes | None, body_bytes: int) -> str | None:
    """The first coding that the client lists, of those that are supported; None: the body as it is."""
    if accept_encoding is None or body_bytes < LEAST_BYTES:
        return None
    for listed in accept_encoding.decode("latin-1").lower().split(","):
        name = listed.partition(";")[0].strip()
        if name in _CODINGS and not _REFUSED.search(listed):
            return name
    return None


def compressed(body: bytes, coding: str) -> bytes:
    return _CODINGS[coding](body)
