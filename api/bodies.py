"""Reading a request's body: its media type, and no more bytes than this deployment takes."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Receive

from api.pending import ClientLeftError
from shared.errors import PayloadTooLarge, UnsupportedMediaType


async def read_json(headers: Mapping[bytes, bytes], receive: Receive, most_bytes: int) -> bytes:
    """The body, which claims to be JSON or claims nothing.

    Raises UnsupportedMediaType, PayloadTooLarge as soon as it is known, or ClientLeftError.
    """
    _require_json(headers.get(b"content-type", b""))
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > most_bytes:
        raise _too_large(most_bytes)
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        body = body + message["body"] if body else message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > most_bytes:
            raise _too_large(most_bytes)
    return body


def _require_json(content_type: bytes) -> None:
    media_type = content_type.partition(b";")[0].strip().lower()
    if media_type and media_type != b"application/json" and not media_type.endswith(b"+json"):
        raise UnsupportedMediaType("The body must be application/json.")


def _too_large(most_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {most_bytes} bytes.")
