"""A connection has limits: how long a head may take, and how many may be there. Real sockets, a small app."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import Receive, Scope, Send

from api.envelope import respond
from api.protocol import patient_protocol
from tests.unit.gateway_fakes import until

HEAD_LIMIT_S = 0.2
GET = b"GET / HTTP/1.1\r\nHost: takt\r\n\r\n"


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, 200, [], b"{}")


@asynccontextmanager
async def serving(most_connections: int | None = None) -> AsyncIterator[int]:
    """→ the port of a server with these limits."""
    protocol = patient_protocol(HEAD_LIMIT_S, most_connections)
    config = uvicorn.Config(hello, port=0, http=protocol, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


async def answered(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    return int(head.split()[1]), json.loads(await reader.readexactly(length))


async def test_a_head_that_stays_away_or_unfinished_is_408_and_the_connection_is_closed() -> None:
    async with serving() as port:
        for begun in (b"", GET[:20]):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(begun)
            status, body = await asyncio.wait_for(answered(reader), 3)
            assert (status, body["error"]) == (408, "request_timeout")
            assert await reader.read() == b""
            writer.close()


async def test_the_next_head_of_a_kept_connection_has_the_same_limit() -> None:
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(GET)
            assert await answered(reader) == (200, {})
        await asyncio.sleep(HEAD_LIMIT_S * 1.5)  # between requests a client may rest
        writer.write(GET)
        assert await answered(reader) == (200, {})
        writer.write(GET[:20])
        status, _ = await asyncio.wait_for(answered(reader), 3)
        assert status == 408
        writer.close()


async def test_one_connection_too_many_is_503_and_the_others_are_served() -> None:
    async with serving(most_connections=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        assert await answered(reader) == (200, {})
        refused, refusing = await asyncio.open_connection("127.0.0.1", port)
        status, body = await asyncio.wait_for(answered(refused), 3)
        assert (status, body["error"]) == (503, "overloaded")
        writer.write(GET)
        assert await answered(reader) == (200, {})
        refusing.close()
        writer.close()
