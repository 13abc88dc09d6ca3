"""Orders of operators to workers, by Redis: drain, accept work again, restart, show stacks and log events.

A worker follows with its next heartbeat.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import uuid4

import msgspec
from redis.asyncio import Redis

from shared import keys
from shared.errors import DeadlineExceededError, NotFoundError
from shared.recent_events import LogEvent
from shared.safe_texts import listed, named
from shared.worker_records import DRAIN_KEPT_S, LOG, ORDER_KEPT_S, RESTART, STACK, WorkerRecord

_LOOK_EVERY_S = 0.05


class WorkerOrders:
    """Methods raise redis.exceptions.RedisError."""

    def __init__(self, client: Redis) -> None:
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers

    async def drain(self, workers: Iterable[WorkerRecord]) -> None:
        """Claim no work from now on. The order lasts until `undrain`, also for successors."""
        await self._each(("SET", keys.drain(one.id), "1", "EX", DRAIN_KEPT_S) for one in workers)

    async def undrain(self, workers: Iterable[WorkerRecord]) -> None:
        await self._each(("DEL", keys.drain(one.id)) for one in workers)

    async def restart(self, workers: Iterable[WorkerRecord]) -> None:
        """Have the supervisors start successors; a worker drains and ends once its successor serves."""
        for one in workers:
            await self._order(one.id, RESTART)

    async def stack(self, worker: WorkerRecord, limit_s: float) -> str:
        """The stacks of a worker's threads. Raises DeadlineExceededError if it does not answer in time."""
        answer = await self._answer(worker, STACK, keys.worker_stack, limit_s)
        return answer.decode(errors="replace")

    async def log(self, worker: WorkerRecord, limit_s: float) -> list[LogEvent]:
        """The latest log events of a worker, the oldest first. Raises the errors of `stack`."""
        answer = await self._answer(worker, LOG, keys.worker_log, limit_s)
        return msgspec.json.decode(answer, type=list[LogEvent])

    async def _answer(
        self, worker: WorkerRecord, order: str, place: Callable[[str, str], str], limit_s: float
    ) -> bytes:
        ticket = uuid4().hex
        await self._order(worker.id, f"{order} {ticket}")
        end_s = time.monotonic() + limit_s
        while True:
            answer: bytes | None = await self._client.getdel(place(worker.id, ticket))
            if answer is not None:
                return answer
            if time.monotonic() >= end_s:
                raise DeadlineExceededError(
                    f"Worker {worker.id} did not answer within {limit_s:g} s: a native call may hold "
                    "Python's lock, or Redis is slow. Its log has the stacks if the watchdog ends it."
                )
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _order(self, worker_id: str, order: str) -> None:
        name = keys.worker_orders(worker_id)
        await self._each([("RPUSH", name, order), ("EXPIRE", name, ORDER_KEPT_S)])

    async def _each(self, commands: Iterable[tuple[str | int, ...]]) -> None:
        pipeline = self._client.pipeline(transaction=True)
        for command in commands:
            pipeline.execute_command(*command)
        await pipeline.execute()


def workers_named(workers: Sequence[WorkerRecord], name: str) -> list[WorkerRecord]:
    """The live workers with this id or name, or of this supervisor. Raises NotFoundError if none has it."""
    found = [worker for worker in workers if name in worker.names]
    if not found:
        known = listed(sorted(worker.id for worker in workers))
        raise NotFoundError(f"No live worker has the name {named(name)}. Live workers: {known}.")
    return found
