"""Substitute for h2load: keep-alive connections on uvloop, parsed by httptools, in a single Python process.

The log has h2load's format. This load uses more of the shared CPU than h2load, equally for each rival, so
ratios come out smaller, never larger.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httptools

from bench.loads import Load, Shot


class Connection(asyncio.Protocol):
    """A connection's closed loop; appends a line to `seen` for each request."""

    def __init__(self, request: bytes, seen: list[str]) -> None:
        self._request = request
        self._seen = seen
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._start_us = 0
        self._begun_s = 0.0
        self.broken = False
        self.ending = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class
        self._send()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        took_us = round((time.perf_counter() - self._begun_s) * 1e6)
        self._seen.append(f"{self._start_us}\t{self._parser.get_status_code()}\t{took_us}\n")
        self._parser = httptools.HttpResponseParser(self)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - broken, whatever the reason
        self.broken = not self.ending

    def end(self) -> None:
        self.ending = True
        if self._transport is not None:
            self._transport.abort()

    def _send(self) -> None:
        assert self._transport is not None
        self._start_us = time.time_ns() // 1000
        self._begun_s = time.perf_counter()
        self._transport.write(self._request)


def request_bytes(url: str, headers: Sequence[str], body: bytes) -> bytes:
    """The request that every connection repeats."""
    parts = urlsplit(url)
    lines = [
        f"POST {parts.path or '/'} HTTP/1.1",
        f"Host: {parts.netloc}",
        *headers,
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def send(url: str, request: bytes, connections: int, duration_s: float) -> tuple[list[str], int]:
    """Run the load. Returns a line for each request, and the number of broken connections.

    Raises a connection's error: an invalid HTTP response, or an error of this module.
    """
    parts = urlsplit(url)
    seen: list[str] = []
    errors: list[BaseException] = []
    loop = asyncio.get_running_loop()

    def keep(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:  # asyncio's own type
        errors.append(context.get("exception") or RuntimeError(context["message"]))

    loop.set_exception_handler(keep)
    opened = [
        await loop.create_connection(
            lambda: Connection(request, seen), parts.hostname or "", parts.port or 80
        )
        for _ in range(connections)
    ]
    await asyncio.sleep(duration_s)
    lines = list(seen)
    broken = sum(connection.broken for _, connection in opened)
    for _, connection in opened:
        connection.end()
    if errors:
        raise errors[0]
    return lines, broken


def main(words: Sequence[str]) -> int:
    import uvloop

    parser = argparse.ArgumentParser(prog="python -m bench.loads.sockets")
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--body", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--header", action="append", default=[])
    given = parser.parse_args(words)
    request = request_bytes(given.url, given.header, given.body.read_bytes())
    lines, broken = uvloop.run(send(given.url, request, given.connections, given.seconds))
    given.log.write_text("".join(lines))
    print(f"requests: {len(lines)} done, {broken} errored, 0 timeout")
    return 0


def _command(shot: Shot) -> Sequence[str]:
    headers = [f"--header={name}: {value}" for name, value in shot.headers.items()]
    return [
        *(sys.executable, "-m", "bench.loads.sockets", shot.url, *headers),
        *("--connections", str(shot.connections), "--seconds", f"{shot.duration_s:g}"),
        *("--body", str(shot.body_file), "--log", str(shot.log_file)),
    ]


LOAD = Load("sockets", "bench.loads.sockets (Python, uvloop)", lambda: None, _command)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
