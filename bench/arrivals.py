"""An open loop: requests are sent when they are due, independently of earlier answers, and rejected clients
retry after their `Retry-After`.

Latency counts from the time at which a request was due, so that a server that delays the load cannot hide the
delay (coordinated omission).
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast
from urllib.parse import urlsplit

import httptools

NO_ANSWER = -1
_SETTLE_S = 1.0
"""Time after the deadline at which a missing answer counts as no answer."""

Ended: TypeAlias = Callable[[int, int | None], None]
"""Callback at the end of a request: its status and its Retry-After in seconds."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request of the load. Times in seconds since the load began."""

    due_s: float
    ended_s: float
    status: int  # NO_ANSWER: no answer was received
    retry_after_s: int | None = None
    told_s: int | None = None  # Retry-After of the rejection that this request follows; None: a new client

    @property
    def took_ms(self) -> float:
        return (self.ended_s - self.due_s) * 1000

    @property
    def good(self) -> bool:
        return self.status == 200

    @property
    def refused(self) -> bool:
        return self.status == 503

    @property
    def returning(self) -> bool:
        return self.told_s is not None


@dataclass(frozen=True)
class Offer:
    """New requests at a rate for a period, and the time after it in which rejected clients still retry."""

    rate: float  # new requests a second, at random moments (Poisson)
    seconds: float
    returns_s: float = 0.0
    wait_s: int = 2  # wait time of each client (`Prefer: wait`)
    seed: int = 1

    def arrivals(self) -> Iterator[float]:
        """When new requests are due, in order."""
        luck = random.Random(self.seed)
        due_s = luck.expovariate(self.rate)
        while due_s < self.seconds:
            yield due_s
            due_s += luck.expovariate(self.rate)


class Load:
    """The clients of an offer, over as many connections as needed."""

    def __init__(self, urls: Sequence[str], body: bytes, offer: Offer) -> None:
        self._targets = [_Target(url, body, offer.wait_s) for url in urls]
        self._offer = offer
        self._luck = random.Random(offer.seed + 1)
        self._due: list[tuple[float, int | None]] = [(due_s, None) for due_s in offer.arrivals()]
        self._loop = asyncio.get_running_loop()
        self._begun_s = self._loop.time()
        self._wake = asyncio.Event()
        self._asking = 0
        self.calls: list[Call] = []

    async def run(self) -> list[Call]:
        """Return every request sent, after the last has ended."""
        end_s = self._offer.seconds + self._offer.returns_s
        while (now_s := self._now_s()) < end_s and (self._due or self._asking):
            while self._due and self._due[0][0] <= now_s:
                self._send(*heapq.heappop(self._due))
            pause_s = (self._due[0][0] if self._due else end_s) - self._now_s()
            await self._sleep(min(pause_s, end_s - self._now_s()))
        await self._settle(self._now_s() + self._offer.wait_s + _SETTLE_S)
        for target in self._targets:
            target.close()
        return self.calls

    def end(self) -> None:
        """Send no further request. Requests in flight are still answered."""
        self._due.clear()
        self._wake.set()

    async def _settle(self, limit_s: float) -> None:
        """Wait for requests in flight."""
        while self._asking and (left_s := limit_s - self._now_s()) > 0:
            await self._sleep(left_s)

    def _now_s(self) -> float:
        return self._loop.time() - self._begun_s

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0:
            self._wake.clear()
            handle = self._loop.call_later(seconds, self._wake.set)
            await self._wake.wait()
            handle.cancel()
        else:
            await asyncio.sleep(0)

    def _send(self, due_s: float, told_s: int | None) -> None:
        self._asking += 1
        target = self._targets[self._luck.randrange(len(self._targets))]
        target.ask(lambda status, retry_after_s: self._ended(due_s, told_s, status, retry_after_s))

    def _ended(self, due_s: float, told_s: int | None, status: int, retry_after_s: int | None) -> None:
        self._asking -= 1
        call = Call(due_s, self._now_s(), status, retry_after_s, told_s)
        self.calls.append(call)
        if call.refused and retry_after_s is not None and self._offer.returns_s:
            # the header has whole seconds: spread clients that received the same value
            heapq.heappush(self._due, (call.ended_s + retry_after_s + self._luck.random(), retry_after_s))
        if not self._asking:
            self._wake.set()


class _Target:
    """Connections to a gateway: idle connections are reused, and another is opened if none is idle."""

    def __init__(self, url: str, body: bytes, wait_s: int) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        head = f"POST {parts.path} HTTP/1.1\r\nHost: takt\r\nContent-Type: application/json\r\n"
        self.request = f"{head}Prefer: wait={wait_s}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        self.idle: list[_Connection] = []
        self._all: list[_Connection] = []
        self._opening: set[asyncio.Task[None]] = set()

    def ask(self, ended: Ended) -> None:
        while self.idle:
            connection = self.idle.pop()
            if connection.open:
                connection.ask(ended)
                return
        task = asyncio.create_task(self._open(ended))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, ended: Ended) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: _Connection(self), self._host, self._port)
        except OSError:
            ended(NO_ANSWER, None)
            return
        self._all.append(connection)
        connection.ask(ended)

    def close(self) -> None:
        for connection in self._all:
            connection.close()


class _Connection(asyncio.Protocol):
    """A keep-alive connection for consecutive requests."""

    def __init__(self, target: _Target) -> None:
        self._target = target
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._ended: Ended | None = None
        self._retry_after_s: int | None = None

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, ended: Ended) -> None:
        assert self._transport is not None
        self._ended, self._retry_after_s = ended, None
        self._transport.write(self._target.request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after":
            self._retry_after_s = int(value)

    def on_message_complete(self) -> None:
        if self._parser.should_keep_alive():
            self._target.idle.append(self)
        else:
            self.close()
        self._end(self._parser.get_status_code())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - lost, whatever the reason
        self._end(NO_ANSWER)

    def _end(self, status: int) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(status, self._retry_after_s)
