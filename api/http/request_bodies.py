"""Request bodies: media type, size limit, idle limit, disconnected clients, and CPU work on bodies.

After a body is read, ASGI's `receive` waits until the client disconnects. So a single step of it is enough to
detect that, without a task per request: either it finishes at once with `http.disconnect`, or it would wait
and is discarded.

CPU work on small bodies runs on the event loop. The switch to a thread costs more than the work, and the
thread competes for the GIL. Large bodies are processed in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import lru_cache
from typing import TypeVar

from starlette.types import Receive

from shared.errors import PayloadTooLargeError, UnsupportedMediaTypeError, UploadInterruptedError

T = TypeVar("T")
SMALL_BYTES = 16 * 1024
"""About a millisecond of parsing and encoding. `/predict` parses such bodies on the event loop, too."""


class ClientLeftError(Exception):
    """The client closed its connection before the response was sent."""


async def read_json(
    headers: Mapping[bytes, bytes], receive: Receive, most_bytes: int, *, idle_s: float
) -> bytes:
    """Read the whole body. `headers` have lower-case names; a missing Content-Type counts as JSON.

    Raises UnsupportedMediaTypeError; PayloadTooLargeError as soon as the size exceeds `most_bytes`;
    ClientLeftError; UploadInterruptedError if no data arrives for `idle_s` seconds.
    """
    if not is_json(headers.get(b"content-type", b"")):
        raise UnsupportedMediaTypeError("The body must be application/json.")
    return await read_body(headers, receive, most_bytes, idle_s=idle_s)


async def read_body(
    headers: Mapping[bytes, bytes], receive: Receive, most_bytes: int, *, idle_s: float
) -> bytes:
    """Read the whole body, of any media type. Raises as `read_json` does."""
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > most_bytes:
        raise _too_large(most_bytes)
    pieces: list[bytes] = []  # joined once, because adding bytes copies all earlier pieces each time
    size_bytes = 0
    async for piece in body_parts(receive, idle_s):
        pieces.append(piece)
        size_bytes += len(piece)
        if size_bytes > most_bytes:
            raise _too_large(most_bytes)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def body_parts(receive: Receive, idle_s: float) -> AsyncIterator[bytes]:
    """The parts of a body as they arrive.

    Raises ClientLeftError, and UploadInterruptedError if no data arrives for `idle_s` seconds.
    """
    more = True
    while more:
        try:
            async with asyncio.timeout(idle_s):
                message = await receive()
        except TimeoutError:
            raise UploadInterruptedError(f"No body data arrived for {idle_s:g} s.") from None
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        more = message.get("more_body", False)
        yield message.get("body", b"")


@lru_cache(maxsize=64)
def is_json(content_type: bytes) -> bool:
    """Whether a Content-Type is JSON or empty. Cached: most requests repeat a recent value."""
    media_type = content_type.partition(b";")[0].strip().lower()
    return media_type in (b"application/json", b"") or media_type.endswith(b"+json")


def _too_large(most_bytes: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(f"The body is larger than {most_bytes} bytes.")


def has_left(receive: Receive) -> bool:
    """Whether the client has disconnected. Call it on the event loop, after the whole body was received."""
    step = receive().__await__()
    try:
        next(step)
    except StopIteration:
        return True
    step.close()
    return False


async def offloaded(size_bytes: int, work: Callable[[], T]) -> T:
    """Run `work` and return its result. `work` may only compute; it must not use disk or network."""
    return work() if size_bytes <= SMALL_BYTES else await asyncio.to_thread(work)
