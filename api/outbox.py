"""The one writer of the online lane: all entries of one loop turn leave in one pipeline.

While a pipeline is on its way, the next gathers. Nothing is sent twice: a write whose answer did not come is
a failed request, since a second try could double the work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.link import Link, unavailable
from api.pending import Pending, Waiting
from shared import keys, messages
from shared.keys import ModelKey
from shared.messages import FIELD, ROWS, Entry

log = structlog.get_logger()


class Outbox:
    """What is to be written: entries of requests, and the withdrawal of entries that nobody waits for."""

    def __init__(
        self,
        client: Redis,
        gateway: str,
        pending: Pending,
        link: Link,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._gateway = gateway
        self._pending = pending
        self._link = link
        self._clock = clock
        self._sends: list[tuple[Waiting, int]] = []
        self._withdrawals: list[tuple[ModelKey, list[bytes]]] = []
        self._filled = asyncio.Event()

    def send(self, waiting: Waiting) -> None:
        self._sends.extend((waiting, part) for part in range(len(waiting.parts)))
        self._filled.set()

    def withdraw(self, waiting: Waiting) -> None:
        """Take back what is written and not answered; what is not written yet will not be."""
        if waiting.entry_ids:
            self._withdraw(waiting.key, list(waiting.entry_ids.values()))
            waiting.entry_ids.clear()

    async def write(self) -> None:
        """Wait until there is something to write, and write all of it."""
        await self._filled.wait()
        self._filled.clear()
        sends = [(waiting, part) for waiting, part in self._sends if self._pending.holds(waiting)]
        withdrawals = self._withdrawals
        self._sends, self._withdrawals = [], []
        if not sends and not withdrawals:
            return
        try:
            answers = await self._execute(sends, withdrawals)
        except (RedisError, OSError) as error:
            self._broke(sends, error)
            return
        for (waiting, part), answer in zip(sends, answers, strict=False):
            self._written(waiting, part, answer)

    async def _execute(
        self, sends: Sequence[tuple[Waiting, int]], withdrawals: Sequence[tuple[ModelKey, list[bytes]]]
    ) -> list[object]:
        pipeline = self._client.pipeline(transaction=False)
        now_s = self._clock()
        for waiting, part in sends:
            message = messages.encode(self._entry(waiting, part, now_s))
            stream = keys.online(waiting.key)
            pipeline.execute_command("XADD", stream, "*", FIELD, message, ROWS, waiting.part_rows[part])
        for key, entry_ids in withdrawals:
            pipeline.execute_command("XDEL", keys.online(key), *entry_ids)
        answers: list[object] = await pipeline.execute(raise_on_error=False)
        return answers

    def _entry(self, waiting: Waiting, part: int, now_s: float) -> Entry:
        return Entry(
            schema=messages.SCHEMA,
            gateway=self._gateway,
            id=waiting.id,
            part=part,
            budget_ms=waiting.budget_ms(now_s),
            rows=waiting.part_rows[part],
            columns=waiting.parts[part],
            request_id=waiting.request_id,
        )

    def _written(self, waiting: Waiting, part: int, answer: object) -> None:
        if isinstance(answer, Exception):
            log.warning("entry_refused", key=waiting.key, error=str(answer))  # out of memory, for one
            self._pending.fail(waiting, unavailable())
            self.withdraw(waiting)
        elif part in waiting.answers:
            return  # the worker was quicker than this pipeline
        elif isinstance(answer, bytes):
            if self._pending.holds(waiting):
                waiting.entry_ids[part] = answer
            else:
                self._withdraw(waiting.key, [answer])

    def _withdraw(self, key: ModelKey, entry_ids: list[bytes]) -> None:
        self._withdrawals.append((key, entry_ids))
        self._filled.set()

    def _broke(self, sends: Sequence[tuple[Waiting, int]], error: Exception) -> None:
        self._link.broke(error)
        for waiting, _ in sends:
            self._pending.fail(waiting, unavailable())
