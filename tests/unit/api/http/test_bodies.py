"""Reading of bodies: idle limit and size limit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from starlette.types import Message

from api.http.request_bodies import read_json
from shared.errors import PayloadTooLargeError, UploadInterruptedError

JSON = {b"content-type": b"application/json"}


class Sender:
    """An ASGI `receive` that returns parts after pauses, and then waits forever."""

    def __init__(self, *parts: bytes, pause_s: float = 0.0) -> None:
        self._parts: Iterator[bytes] = iter(parts)
        self._pause_s = pause_s

    async def __call__(self) -> Message:
        await asyncio.sleep(self._pause_s)
        if (part := next(self._parts, None)) is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": part, "more_body": part != b"}"}


@pytest.mark.parametrize("begun", [(), (b"{",)])
async def test_a_body_that_stops_is_broken_off(begun: tuple[bytes, ...]) -> None:
    with pytest.raises(UploadInterruptedError, match=r"arrived for 0\.05 s"):
        await read_json(JSON, Sender(*begun), 1000, idle_s=0.05)


async def test_a_body_that_comes_slowly_is_read_to_its_end() -> None:
    slow = Sender(b"{", *[b" "] * 6, b"}", pause_s=0.1)
    assert await read_json(JSON, slow, 1000, idle_s=0.7) == b"{" + b" " * 6 + b"}"


async def test_reading_a_body_in_many_pieces_copies_each_of_them_once() -> None:
    pieces = [_Unaddable(b" " * 100)] * 50
    assert len(await read_json(JSON, Sender(b"{", *pieces, b"}"), 10_000, idle_s=30)) == 5002


async def test_too_many_bytes_are_refused_as_soon_as_they_are_there() -> None:
    with pytest.raises(PayloadTooLargeError):
        await read_json(JSON, Sender(b"{", b" " * 600, b" " * 600), 1000, idle_s=30)


class _Unaddable(bytes):
    """A piece that raises if it is added to earlier pieces."""

    def __radd__(self, before: bytes) -> bytes:
        raise AssertionError("what came before is copied with each piece")
