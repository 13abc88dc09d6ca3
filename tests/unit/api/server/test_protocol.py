"""Limits of connections: time for a head, number of connections, rejections without a task.

Real sockets with a small application.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.types import Receive, Scope, Send

from api.gateway import Gateway
from api.http.request_middleware import respond
from api.server.protocol import WholeAnswers
from shared.settings import Settings
from tests.unit.gateway_fakes import IRIS, IRIS_ROW, MODELS, FakeRedis, FakeWorker, running_gateway, until
from tests.unit.gateway_sockets import GET, answer_of, serving_app, serving_for

HEAD_LIMIT_S = 0.2
LIMIT_S = 30.0


@asynccontextmanager
async def serving(most_connections: int | None = None) -> AsyncIterator[int]:
    """The port of a server with these limits."""
    limits = Settings(models_dir=MODELS, head_limit_s=HEAD_LIMIT_S, max_connections=most_connections)
    async with serving_for(Gateway(limits, FakeRedis())) as port:
        yield port


async def answered(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    return int(head.split()[1]), json.loads(await reader.readexactly(length))


async def test_a_head_that_stays_away_or_unfinished_is_408_and_the_connection_is_closed() -> None:
    async with serving() as port:
        for begun in (b"", GET[:20]):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(begun)
            status, body = await asyncio.wait_for(answered(reader), LIMIT_S)
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
        status, _ = await asyncio.wait_for(answered(reader), LIMIT_S)
        assert status == 408
        writer.close()


async def test_one_connection_too_many_is_503_and_the_others_are_served() -> None:
    async with serving(most_connections=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        assert await answered(reader) == (200, {})
        refused, refusing = await asyncio.open_connection("127.0.0.1", port)
        status, body = await asyncio.wait_for(answered(refused), LIMIT_S)
        assert (status, body["error"]) == (503, "overloaded")
        writer.write(GET)
        assert await answered(reader) == (200, {})
        refusing.close()
        writer.close()


def prediction(wait_s: int = 1, headers: dict[str, str] | None = None) -> tuple[bytes, bytes]:
    """The head and the body of a prediction request."""
    body = json.dumps(IRIS_ROW).encode()
    lines = {"Host": "takt", "Prefer": f"wait={wait_s}", "Content-Length": str(len(body))} | (headers or {})
    head = "POST /predict HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{head}\r\n".encode(), body


@asynccontextmanager
async def refusing(folder: Path, **changes: Any) -> AsyncIterator[tuple[Gateway, int]]:
    """A gateway that has just rejected a request, because a pending row takes a second; and its port."""
    client = FakeRedis()
    async with (
        running_gateway(client, folder, **changes) as (gateway, _),
        serving_for(gateway) as port,
    ):
        await FakeWorker(client, IRIS).beat(rows_per_s=1.0)
        await gateway.fleet.watch.renew()
        await until(lambda: gateway.queue.up)
        _, waiting = await asyncio.open_connection("127.0.0.1", port)
        waiting.writelines(prediction(wait_s=30))
        await until(lambda: gateway.online.dispatcher.inflight.rows)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.writelines(prediction())
        assert (await answered(reader))[1]["error"] == "overloaded"
        assert gateway.online.admission.refusing
        yield gateway, port
        waiting.close()
        writer.close()


async def test_who_is_refused_by_his_head_alone_is_counted_like_the_others(tmp_path: Path) -> None:
    async with refusing(tmp_path) as (gateway, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.writelines(prediction())
        assert (await answered(reader))[0] == 503
        writer.close()
        counters = gateway.catalog.find("iris").counters
        assert (counters.shed["overloaded"], counters.failed["overloaded"]) == (
            2,
            2,
        )  # including the first rejected request
        assert {answer: took_s.count for answer, took_s in gateway.telemetry.http} == {
            ("POST", "/predict", "503"): 2
        }


async def test_while_others_are_refused_a_prediction_is_refused_by_its_head_alone(tmp_path: Path) -> None:
    async with refusing(tmp_path) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head, body = prediction(headers={"X-Request-ID": "mine", "Expect": "100-continue"})
        writer.write(head)
        said = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT_S)).lower()
        assert said.startswith(b"http/1.1 503 ")
        assert b"\r\nretry-after: " in said
        assert b"\r\nx-request-id: mine\r\n" in said
        said_body = json.loads(await reader.readuntil(b"}"))
        assert (said_body["error"], said_body["request_id"]) == ("overloaded", "mine")
        writer.writelines([body, GET])  # the connection goes on
        assert await asyncio.wait_for(answered(reader), LIMIT_S) == (200, {})
        writer.writelines([*prediction(), GET])  # even if the next request has arrived already
        assert (await asyncio.wait_for(answered(reader), LIMIT_S))[0] == 503
        assert await asyncio.wait_for(answered(reader), LIMIT_S) == (200, {})
        writer.close()


@pytest.mark.parametrize(
    ("page", "told"),
    [("https://mes.example", "https://mes.example"), ("https://evil.example", None), (None, None)],
)
async def test_who_is_refused_while_many_are_is_told_what_browsers_need(
    tmp_path: Path, page: str | None, told: str | None
) -> None:
    async with refusing(tmp_path, cors_origins="https://mes.example") as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.writelines(prediction(headers={"Origin": page} if page else {}))
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT_S)).decode().lower()
        said = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
        writer.close()
    assert " 503 " in head
    assert said.get("access-control-allow-origin") == told
    assert ("retry-after" in said.get("access-control-expose-headers", "")) == (page is not None)
    assert said["x-content-type-options"] == "nosniff"
    assert (said["x-frame-options"], said["referrer-policy"]) == ("deny", "no-referrer")


async def test_a_refused_client_that_closes_is_let_go(tmp_path: Path) -> None:
    async with refusing(tmp_path) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.writelines(prediction(headers={"Connection": "close"}))
        assert (await asyncio.wait_for(answered(reader), LIMIT_S))[0] == 503
        assert await asyncio.wait_for(reader.read(), LIMIT_S) == b""
        writer.close()


async def test_refusals_of_requests_that_came_at_once_may_be_any_number(tmp_path: Path) -> None:
    async with refusing(tmp_path) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.writelines([GET, *prediction() * 2000])
        assert (await answer_of(reader)).status_code == 200
        for _ in range(2000):
            assert (await answer_of(reader)).status_code == 503
        writer.close()


async def test_whoever_waits_long_enough_or_asks_for_something_else_is_read_on(tmp_path: Path) -> None:
    async with refusing(tmp_path) as (gateway, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        assert await asyncio.wait_for(answered(reader), LIMIT_S) == (200, {})
        rows = gateway.online.dispatcher.inflight.rows
        writer.writelines(prediction(wait_s=30))
        await until(lambda: gateway.online.dispatcher.inflight.rows == rows + 1)
        writer.close()


async def test_an_answer_of_known_length_comes_whole_and_a_stream_begins_with_its_head() -> None:
    goes_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/whole":
            await respond(send, 200, [], b"{}")
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await goes_on.wait()
        await send({"type": "http.response.body", "body": b"late"})

    async with serving_app(app, Gateway(Settings(models_dir=MODELS), FakeRedis())) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /whole HTTP/1.1\r\nHost: takt\r\n\r\n")
        assert await answered(reader) == (200, {})
        writer.write(b"HEAD /whole HTTP/1.1\r\nHost: takt\r\n\r\n")
        assert b"content-length: 2\r\n\r\n" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT_S)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: takt\r\n\r\n")
        assert b"chunked" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT_S)
        goes_on.set()
        assert await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), LIMIT_S) == b"4\r\nlate\r\n0\r\n\r\n"
        writer.close()


def test_a_head_is_kept_until_its_body_and_both_are_written_at_once() -> None:
    class Writes:
        def __init__(self) -> None:
            self.seen: list[bytes] = []

        def write(self, data: bytes) -> None:
            self.seen.append(data)

    transport = Writes()
    answers = WholeAnswers(cast(asyncio.Transport, transport))
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
    answers.write(head)
    assert transport.seen == []
    answers.write(b"{}")
    answers.flush()
    assert transport.seen == [head + b"{}"]
