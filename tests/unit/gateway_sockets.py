"""A gateway behind real sockets: its servers, and the bytes of a client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from api.gateway import Gateway
from api.http.cors import with_cors
from api.http.request_middleware import RequestMiddleware, respond
from api.routes.predict import Predictions
from api.server.protocol import protocol_of
from tests.support.callers import Answer
from tests.unit.gateway_fakes import IRIS_ROW, until

GET = b"GET / HTTP/1.1\r\nHost: takt\r\n\r\n"
PATIENCE_S = 20.0


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, 200, [], b"{}")


@asynccontextmanager
async def serving_for(gateway: Gateway) -> AsyncIterator[int]:
    """→ the port of a server of this gateway's predictions; all other requests get a fixed answer."""
    app = with_cors(
        RequestMiddleware(
            Predictions(hello, gateway),
            gateway.lifecycle,
            gateway.telemetry,
            access_log=gateway.settings.access_log,
        ),
        gateway.settings.origins(),
    )
    async with serving_app(app, gateway) as port:
        yield port


@asynccontextmanager
async def serving_app(app: ASGIApp, gateway: Gateway) -> AsyncIterator[int]:
    config = uvicorn.Config(app, port=0, http=protocol_of(gateway), lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


def request(
    path: str = "/predict", headers: Mapping[str, str] | None = None, row: object = IRIS_ROW
) -> tuple[bytes, bytes]:
    """→ the head and the body of a prediction."""
    body = json.dumps(row).encode()
    lines = {"Host": "takt", "Content-Length": str(len(body))} | dict(headers or {})
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{head}\r\n".encode(), body


async def answer_of(reader: asyncio.StreamReader) -> Answer:
    """The next answer of a connection. Raises asyncio.IncompleteReadError if it is closed instead."""
    async with asyncio.timeout(PATIENCE_S):
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
    return Answer(int(status.split()[1]), headers, body)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def asked(port: int, *pieces: bytes) -> Answer:
    """The answer to a request on a connection of its own."""
    async with connected(port) as (reader, writer):
        writer.write(b"".join(pieces))
        return await answer_of(reader)
