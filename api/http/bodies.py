"""Reading a request's body: its media type, and no more bytes than this deployment takes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Receive

from api.http.disconnects import ClientLeftError
from shared.errors import PayloadTooLarge, UnsupportedMediaType, UploadInterrupted


async def read_json(
    headers: Mapping[bytes, bytes], receive: Receive, most_bytes: int, *, idle_s: float
) -> bytes:
    """The body, which claims to be JSON or claims nothing.

    Raises UnsupportedMediaType, PayloadTooLarge as soon as it is known, ClientLeftError, or UploadInterrupted
    where nothing of it comes for so long.
    """
    if not is_json(headers.get(b"content-type", b"")):
        raise UnsupportedMediaType("The body must be application/json.")
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > most_bytes:
        raise _too_large(most_bytes)
    try:
        return await _read(receive, most_bytes, idle_s)
    except TimeoutError:
        raise UploadInterrupted(f"Nothing of the body came for {idle_s:g} s.") from None


async def _read(receive: Receive, most_bytes: int, idle_s: float) -> bytes:
    pieces: list[bytes] = []  # joined once: a sum of bytes copies all that came before with each piece
    size_bytes, more = 0, True
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(idle_s) as patience:  # one for the body: most come whole
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
                patience.reschedule(loop.time() + idle_s)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def is_json(content_type: bytes) -> bool:
    """Whether a body claims to be JSON, or claims nothing."""
    media_type = content_type.partition(b";")[0].strip().lower()
    return media_type in (b"application/json", b"") or media_type.endswith(b"+json")


def _too_large(most_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {most_bytes} bytes.")
