"""The dispatcher of the online lane: writes requests to the streams and receives the replies.

    submit ─▶ inflight ─▶ writer ─▶ takt:online:{model}@{version}       requests share commands
    outcome ◀─ inflight ◀─ replies ◀─ takt:reply:{gateway}              a single reader
                  ▲ sweep: deadlines, disconnected clients              a single sweeper

A request needs no task, timer or lock of its own.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.fleet.redis_status import RedisStatus
from api.http.error_answers import stopping, unavailable
from api.http.lifecycle import BackgroundTasks
from api.online.entry_writer import EntryWriter, IdentityOf, any_identity
from api.online.inflight import Answered, InflightRequests, Left, ResultListener
from api.online.reply_reader import ReplyStream
from shared.columns import cut
from shared.connections import refuses_writes
from shared.errors import DeadlineExceededError, ServiceError, UnsupportedServerError
from shared.keys import ModelKey
from shared.messages import Column
from shared.output_columns import OutputDtypes
from shared.specs import ModelSpec

log = structlog.get_logger()

SWEEP_EVERY_S = 0.1


def _nobody_left() -> bool:
    return False


class OnlineDispatcher:
    """Sends a gateway's requests to the online lane and resolves their outcomes."""

    def __init__(
        self,
        client: Redis,
        name: str,
        queue: RedisStatus,
        clock: Callable[[], float] = time.monotonic,
        *,
        identity_of: IdentityOf = any_identity,
    ) -> None:
        self.gateway = f"{name}:{secrets.token_hex(4)}"
        self.inflight = InflightRequests()
        self._queue = queue
        self._clock = clock
        self._replies = ReplyStream(client, self.gateway, clock)
        self._writer = EntryWriter(client, self.gateway, self.inflight, queue, clock, identity_of=identity_of)
        self._opened_after_breaks = 0
        self._tasks = BackgroundTasks()

    @property
    def up(self) -> bool:
        """Whether Redis answered the last command."""
        return self._queue.up

    def start(self) -> None:
        self._tasks.start("online_writer", self._writer.write)
        self._tasks.start("online_reader", self._read)
        self._tasks.start("online_sweeper", self._sweep_later)

    def give_up(self) -> None:
        """Fail every waiting request with a request to retry, and withdraw its entries: the gateway stops."""
        for request in self.inflight:
            self.inflight.fail(request, stopping())
            self._writer.withdraw(request)

    async def close(self) -> None:
        """Stop, and fail every waiting request with a request to retry."""
        await self._tasks.stop()
        for request in self.inflight:
            self.inflight.fail(request, stopping())
        with suppress(RedisError, OSError):
            if self._queue.up:
                await self._replies.remove()
        with suppress(RedisError, OSError):
            await self._replies.close()

    def submit(
        self,
        key: ModelKey,
        spec: ModelSpec,
        columns: list[Column],
        rows: int,
        *,
        wait_s: float,
        left: Left = _nobody_left,
        request_id: str = "",
        traceparent: str = "",
        owner: str = "",
        output_dtypes: OutputDtypes = (),
    ) -> asyncio.Future[Answered]:
        """Send rows to a model version. The future raises the worker's error, QueueUnavailable,
        DeadlineExceededError, or ClientLeftError.

        Raises QueueUnavailable at once if Redis is known to be away or full.
        """
        outcome: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self.ask(
            key,
            spec,
            columns,
            rows,
            wait_s=wait_s,
            outcome=outcome,
            left=left,
            request_id=request_id,
            traceparent=traceparent,
            owner=owner,
            output_dtypes=output_dtypes,
        )
        return outcome

    def ask(
        self,
        key: ModelKey,
        spec: ModelSpec,
        columns: list[Column],
        rows: int,
        *,
        wait_s: float,
        outcome: ResultListener,
        left: Left,
        request_id: str = "",
        traceparent: str = "",
        owner: str = "",
        output_dtypes: OutputDtypes = (),
    ) -> None:
        """`submit` with any ResultListener in place of the future.

        `output_dtypes`: the binary form in which the outputs are needed; empty: plain values.
        """
        self._queue.require_open()
        now_s = self._clock()
        parts, part_rows = _parts(spec, columns, rows)
        if self.inflight.on_answer is not None:  # a shadow is compared with plain values
            output_dtypes = ()
        request = self.inflight.open(
            key,
            parts,
            part_rows,
            outcome=outcome,
            since_s=now_s,
            deadline_s=now_s + wait_s,
            left=left,
            request_id=request_id,
            traceparent=traceparent,
            owner=owner,
            output_dtypes=output_dtypes,
        )
        self._writer.send(request)

    def sweep(self) -> None:
        """Fail requests that are overdue or without a client, and withdraw their entries."""
        for request in self.inflight.sweep(self._clock(), self._overdue):
            self._writer.withdraw(request)

    def _overdue(self) -> ServiceError:
        return DeadlineExceededError() if self._queue.open else unavailable()

    async def _sweep_later(self) -> None:
        await asyncio.sleep(SWEEP_EVERY_S)
        self.sweep()

    async def _open(self) -> None:
        breaks = self._queue.breaks
        await self._replies.open()
        self._opened_after_breaks = breaks
        self._queue.works()

    async def _read(self) -> None:
        try:
            if not self._replies.is_open or self._opened_after_breaks != self._queue.breaks:
                await self._open()
            replies = await self._replies.read()
        except (RedisError, OSError, UnsupportedServerError) as error:
            self._replies.lost()
            self._queue.broke(error)
            if refuses_writes(error):  # the stream cannot be opened, for example on a replica
                self._queue.judge(error)
            await asyncio.sleep(self._queue.backoff_s)
            return
        self._queue.works()
        self._queue.judge(self._replies.refusal)
        for reply in replies:
            for ended in self.inflight.settle(reply):
                self._writer.withdraw(ended)


def _parts(spec: ModelSpec, columns: list[Column], rows: int) -> tuple[list[list[Column]], list[int]]:
    """Cut columns into parts of at most a batch, in the order of the rows. → parts, rows of each"""
    most = spec.batching.max_rows
    if rows <= most:
        return [columns], [rows]
    starts = range(0, rows, most)
    parts = [cut(spec, columns, start, min(start + most, rows)) for start in starts]
    return parts, [min(most, rows - start) for start in starts]
