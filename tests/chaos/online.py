"""The load of requests: connections that send requests and verify the answers throughout all faults."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tests.chaos.terrain import INPUTS, Pool
from tests.support.callers import Answer, post

LIMIT_S = 25.0
"""Longer than a gateway's wait limit."""
PAUSES_S = (0.01, 0.1)
REFUSED_PAUSE_S = 0.2
SINGLE_SHARE = 0.7
MOST_ROWS = 40

_MEANT = {503, 504}


@dataclass(frozen=True)
class Failure:
    """A request without a correct answer. Times are monotonic."""

    begun_s: float
    ended_s: float
    what: str
    meant: bool = True
    """Whether a fault may cause the failure: 503, 504, or a broken connection."""


@dataclass
class OnlineLog:
    """Record of the requests. Only the load's thread writes to it."""

    right: int = 0
    wrong: int = 0
    rows: int = 0
    failures: list[Failure] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return self.right + self.wrong + len(self.failures)


@dataclass(frozen=True)
class Question:
    """Some rows of the pool in a request."""

    pool: Pool
    indexes: Sequence[int]
    single: bool

    @property
    def path(self) -> str:
        return "/predict" if self.single else "/predict/batch"

    @property
    def body(self) -> bytes:
        rows = self.pool.places[self.indexes].tolist()
        return json.dumps(
            dict(zip(INPUTS, rows[0], strict=True)) if self.single else {"inputs": rows}
        ).encode()

    def is_answered_by(self, answer: Answer) -> bool:
        """Whether every height is correct and in the order of the request."""
        found = [answer.json()] if self.single else answer.json()["results"]
        heights: list[float] = self.pool.heights[self.indexes].tolist()
        return [row.get("height") for row in found] == heights


def question(pool: Pool, luck: random.Random) -> Question:
    """Most requests have one row, the others several."""
    if luck.random() < SINGLE_SHARE:
        return Question(pool, [luck.randrange(pool.rows)], single=True)
    return Question(pool, luck.choices(range(pool.rows), k=luck.randint(1, MOST_ROWS)), single=False)


class OnlineLoad(threading.Thread):
    """All connections, on a separate event loop. Each connection uses one gateway."""

    def __init__(self, urls: Sequence[str], connections: int, pool: Pool, seed: int) -> None:
        super().__init__(name="online", daemon=True)
        self.log = OnlineLog()
        self._urls = [urls[number % len(urls)] for number in range(connections)]
        self._pool = pool
        self._seed = seed
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loops = (self._connection(number, url) for number, url in enumerate(self._urls))
        await asyncio.gather(*loops)

    async def _connection(self, number: int, url: str) -> None:
        luck = random.Random(f"{self._seed} online {number}")
        host, _, port = url.removeprefix("http://").partition(":")
        while not self._stopping.is_set():
            begun_s = time.monotonic()
            try:
                reader, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                self._failed(begun_s, "connection refused")
                await asyncio.sleep(REFUSED_PAUSE_S)
                continue
            await self._ask_on(reader, writer, luck)

    async def _ask_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, luck: random.Random
    ) -> None:
        """Send requests until the connection breaks."""
        try:
            while not self._stopping.is_set():
                await asyncio.sleep(luck.uniform(*PAUSES_S))
                if not await self._ask(reader, writer, question(self._pool, luck)):
                    return
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Question) -> bool:
        """Returns whether the connection is still usable."""
        begun_s = time.monotonic()
        try:
            async with asyncio.timeout(LIMIT_S):
                answer = await post(reader, writer, asked.path, asked.body)
        except (OSError, EOFError, TimeoutError) as error:
            self._failed(begun_s, f"broken connection ({type(error).__name__})")
            return False
        self._judge(asked, answer, begun_s)
        return answer.headers.get("connection") != "close"

    def _judge(self, asked: Question, answer: Answer, begun_s: float) -> None:
        if answer.status_code != 200:
            what = f"{answer.status_code} {answer.json().get('error')}"
            self._failed(begun_s, what, meant=answer.status_code in _MEANT)
        elif asked.is_answered_by(answer):
            self.log.right += 1
            self.log.rows += len(asked.indexes)
        else:
            self.log.wrong += 1

    def _failed(self, begun_s: float, what: str, *, meant: bool = True) -> None:
        self.log.failures.append(Failure(begun_s, time.monotonic(), what, meant))
