"""The load for machines without h2load, against a server of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bench.loads.sockets import request_bytes, send
from bench.samples import parse_log

REQUEST_HEADERS = ["Content-Type: application/json"]


@asynccontextmanager
async def server(answer: bytes, *, answers_each: int = 1_000_000) -> AsyncIterator[str]:
    """Its URL; it answers so many requests of a connection, then closes it."""

    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())  # type: ignore[arg-type]  # a handler runs in a task
        for _ in range(answers_each):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"Content-Length: 2" in head
                assert await reader.readexactly(2) == b"{}"
                writer.write(answer)
            except (asyncio.IncompleteReadError, ConnectionError):
                break
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/predict"
    finally:
        listening.close()
        await asyncio.gather(*serving)


async def test_every_request_leaves_a_line_with_its_status_and_time() -> None:
    async with server(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy") as url:
        lines, broken = await send(url, request_bytes(url, REQUEST_HEADERS, b"{}"), 3, 0.2)
    seen = list(parse_log("".join(lines)))
    assert len(seen) >= 3
    assert {sample.status for sample in seen} == {503}
    assert all(0 < sample.took_us < 200_000 for sample in seen)
    assert broken == 0


async def test_connections_that_the_server_closes_are_counted_as_broken() -> None:
    async with server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", answers_each=1) as url:
        lines, broken = await send(url, request_bytes(url, REQUEST_HEADERS, b"{}"), 3, 0.2)
    assert (len(lines), broken) == (3, 3)
