"""A request with an `Upgrade` field gets a response over HTTP/1.1 (RFC 9110, 7.8).

The data after its head is its body, in any number of pieces. Real sockets with a small application.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import pytest
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from api.gateway import Gateway
from api.http.request_middleware import respond
from shared.settings import Settings
from tests.unit.api.server.test_protocol import answered
from tests.unit.gateway_fakes import MODELS, FakeRedis
from tests.unit.gateway_sockets import serving_app

OFFER = "Host: takt\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
"""The head that Java's HttpClient sends by default."""
GET = f"GET /get HTTP/1.1\r\n{OFFER}\r\n".encode()
BODY = b"GET /hidden HTTP/1.1\r\nHost: takt\r\n\r\n"
POST = f"POST /post HTTP/1.1\r\n{OFFER}Content-Length: {len(BODY)}\r\n\r\n".encode()
CHUNKED = f"POST /post HTTP/1.1\r\n{OFFER}Transfer-Encoding: chunked\r\n\r\n".encode()
NO_OFFER = b"POST /post HTTP/1.1\r\nHost: takt\r\n"
IN_CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
PLAIN = b"GET /plain HTTP/1.1\r\nHost: takt\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Responds with the request's path, body and Upgrade field."""
    request = Request(scope, receive)
    body = (await request.body()).decode()
    seen = {"path": scope["path"], "body": body, "upgrade": request.headers.get("upgrade", "")}
    await respond(send, 200, [], json.dumps(seen).encode())


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving_app(echo, Gateway(Settings(models_dir=MODELS), FakeRedis())) as found:
        yield found


async def answers(port: int, pieces: Sequence[bytes], number: int) -> list[tuple[str, str]]:
    """The paths and bodies of the responses."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            for _ in range(3):  # iterations of the event loop, in which the server reads this part alone
                await asyncio.sleep(0)
        for _ in range(number):
            status, seen = await asyncio.wait_for(answered(reader), 20)
            assert (status, seen["upgrade"]) == (200, ""), seen
            found.append((seen["path"], seen["body"]))
    finally:
        writer.close()
    return found


@pytest.mark.parametrize(
    "pieces",
    [
        [POST + BODY + PLAIN],
        [POST, BODY, PLAIN],
        [POST[:40], POST[40:] + BODY[:7], BODY[7:] + PLAIN],
        [CHUNKED + IN_CHUNKS + PLAIN],
        [CHUNKED, IN_CHUNKS + PLAIN],
    ],
)
async def test_a_post_that_offers_an_upgrade_keeps_its_body(port: int, pieces: list[bytes]) -> None:
    found = await answers(port, pieces, 2)
    assert found == [("/post", BODY.decode()), ("/plain", "")]


async def test_many_offers_that_come_at_once_are_all_answered(port: int) -> None:
    found = await answers(port, [GET * 50 + POST + BODY + GET], 52)
    assert found == [("/get", "")] * 50 + [("/post", BODY.decode()), ("/get", "")]


async def test_a_websocket_is_not_opened_and_the_connection_goes_on(port: int) -> None:
    offer = b"GET /socket HTTP/1.1\r\nHost: takt\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert await answers(port, [offer, PLAIN], 2) == [("/socket", ""), ("/plain", "")]


@pytest.mark.parametrize(
    "request_",
    [
        b"CONNECT takt:80 HTTP/1.1\r\nHost: takt\r\n\r\n" + PLAIN,
        NO_OFFER + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        NO_OFFER + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        NO_OFFER + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        NO_OFFER + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_a_request_that_could_be_read_in_two_ways_is_refused_and_ends_its_connection(
    port: int, request_: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_)
    try:
        status, seen = await asyncio.wait_for(answered(reader), 20)
        assert (status, seen["error"]) == (400, "bad_request")
        assert await asyncio.wait_for(reader.read(), 20) == b""
    finally:
        writer.close()
