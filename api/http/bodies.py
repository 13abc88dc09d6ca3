"""Reading JSON request bodies: media type, size limit and idle limit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache

from starlette.types import Receive

from api.http.disconnects import ClientLeftError
from shared.errors import PayloadTooLarge, UnsupportedMediaType, UploadInterrupted


async def read_json(
    headers: Mapping[bytes, bytes], receive: Receive, most_bytes: int, *, idle_s: float
) -> bytes:
    """Read the whole body. `headers` have lower-case names; a missing Content-Type counts as JSON.

    Raises UnsupportedMediaType; PayloadTooLarge as soon as the size exceeds `most_bytes`; ClientLeftError;
    UploadInterrupted if no data arrives for `idle_s` seconds.
    """
    if not is_json(headers.get(b"content-type", b"")):
        raise UnsupportedMediaType("The body must be application/json.")
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > most_bytes:
        raise _too_large(most_bytes)
    try:
        return await _read(receive, most_bytes, idle_s)
    except TimeoutError:
        raise UploadInterrupted(f"No body data arrived for {idle_s:g} s.") from None


async def _read(receive: Receive, most_bytes: int, idle_s: float) -> bytes:
    pieces: list[bytes] = []  # joined once, because adding bytes copies all earlier pieces each time
    size_bytes, more = 0, True
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(idle_s) as idle:  # one for the body: most bodies have a single piece
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientLeftError
            piece = message.get("body", b"")
            pieces.append(piece)
            size_bytes += len(piece)
            more = message.get("more_body", False)
            if size_bytes > most_bytes:
                raise _too_large(most_bytes)
            if more:
                idle.reschedule(loop.time() + idle_s)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


@lru_cache(maxsize=64)
def is_json(content_type: bytes) -> bool:
    """Whether a Content-Type is JSON or empty. Cached: most requests repeat a recent value."""
    media_type = content_type.partition(b";")[0].strip().lower()
    return media_type in (b"application/json", b"") or media_type.endswith(b"+json")


def _too_large(most_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {most_bytes} bytes.")
