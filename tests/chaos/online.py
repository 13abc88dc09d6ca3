"""The load of requests: connections that send requests and verify the answers throughout all faults."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tests.chaos.questions import Form, Question, question
from tests.chaos.rpcs import RpcLoop
from tests.chaos.terrain import Pool
from tests.support.callers import Answer, post

LIMIT_S = 25.0
"""Longer than a gateway's wait limit."""
PAUSES_S = (0.01, 0.1)
REFUSED_PAUSE_S = 0.2

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
    right_by: Counter[Form] = field(default_factory=Counter)
    """Correct answers by form."""
    failures: list[Failure] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return self.right + self.wrong + len(self.failures)


class OnlineLoad(threading.Thread):
    """All connections, on a separate event loop. Each connection uses a single gateway."""

    def __init__(
        self, urls: Sequence[str], rpcs: Sequence[str], connections: int, pool: Pool, seed: int
    ) -> None:
        """`rpcs`: the addresses of the gateways for gRPC."""
        super().__init__(name="online", daemon=True)
        self.log = OnlineLog()
        self._urls = [urls[number % len(urls)] for number in range(connections)]
        self._rpcs = rpcs
        self._pool = pool
        self._seed = seed
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loops = (self._connection(number, url) for number, url in enumerate(self._urls))
        rpcs = (self._rpc(number, address) for number, address in enumerate(self._rpcs))
        await asyncio.gather(*loops, *rpcs)

    async def _rpc(self, number: int, address: str) -> None:
        luck = random.Random(f"{self._seed} rpc {number}")
        loop = RpcLoop(address, self._pool, luck, LIMIT_S)
        await loop.run(self._stopping.is_set, self._right, self._wrong, self._failed)

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
                answer = await post(reader, writer, asked.form, asked.body, asked.headers)
        except (OSError, EOFError, TimeoutError) as error:
            self._failed(begun_s, f"broken connection ({type(error).__name__})")
            return False
        self._judge(asked, answer, begun_s)
        return answer.headers.get("connection") != "close"

    def _judge(self, asked: Question, answer: Answer, begun_s: float) -> None:
        if answer.status_code != 200:
            what = f"{asked.form} {answer.status_code} {answer.json().get('error')}"
            self._failed(begun_s, what, answer.status_code in _MEANT)
        elif asked.is_answered_by(answer):
            self._right(asked)
        else:
            self._wrong()

    def _right(self, asked: Question) -> None:
        self.log.right += 1
        self.log.right_by[asked.form] += 1
        self.log.rows += len(asked.indexes)

    def _wrong(self) -> None:
        self.log.wrong += 1

    def _failed(self, begun_s: float, what: str, meant: bool = True) -> None:
        self.log.failures.append(Failure(begun_s, time.monotonic(), what, meant))
