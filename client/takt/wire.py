"""Translation between the SDK and httpx, shared by both clients: headers, bodies, responses and errors."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import IO, Any

import httpx

from takt.bodies import Body
from takt.calls import Call
from takt.decoding import Answer
from takt.errors import Refused, TimedOut, Unreachable

DEFAULT_URL = "http://127.0.0.1:8000"

TIMEOUT_S = 65.0
"""Longer than a gateway's longest wait, so that the gateway's response arrives before the timeout."""


def authorization(api_key: str | None) -> dict[str, str]:
    """Returns the Authorization header; empty without an API key."""
    key = (os.environ.get("TAKT_API_KEY", "") if api_key is None else api_key).strip()
    return {"authorization": f"Bearer {key}"} if key else {}


def timeout(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(5.0, seconds))


def jitter() -> float:
    """Returns a random number that spreads retries."""
    return random.random()  # noqa: S311 - not a secret


def headers_of(call: Call[Any]) -> dict[str, str]:
    """Returns the headers of a request (Any: the call's result type)."""
    return (call.body.headers if call.body else {}) | dict(call.headers)


def pieces_of(body: Body) -> Iterator[bytes]:
    return body.pieces()


async def async_pieces_of(body: Body) -> AsyncIterator[bytes]:
    """Encodes each piece in a thread, because reading files and encoding rows block."""
    pieces = body.pieces()
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece


def write(file: IO[bytes], pieces: Iterator[bytes]) -> int:
    """Write the pieces to a file. Returns the number of bytes."""
    return sum(file.write(piece) for piece in pieces)


async def async_write(file: IO[bytes], pieces: AsyncIterator[bytes]) -> int:
    """Write the pieces to a file, each in a thread. Returns the number of bytes."""
    size_bytes = 0
    async for piece in pieces:
        size_bytes += await asyncio.to_thread(file.write, piece)
    return size_bytes


def answer_of(response: httpx.Response) -> Answer:
    """Returns the answer of a response with a body that was read."""
    return Answer(response.status_code, response.headers, response.content, str(response.url))


@contextmanager
def translated_errors(url: str) -> Iterator[None]:
    """Raises httpx's errors as errors of the SDK."""
    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise Refused(f"{url} is not a valid service URL: {error}") from error
    except httpx.TimeoutException as error:
        raise TimedOut(f"{url} did not answer in time ({type(error).__name__})") from error
    except httpx.RemoteProtocolError as error:
        raise Unreachable(f"{url} closed the connection early: {error}") from error
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise Unreachable(f"{url} does not answer: {error or type(error).__name__}") from error
