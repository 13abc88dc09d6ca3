"""The writer of the online lane: sends all entries of an event-loop turn in a single command.

While a command is under way, new entries collect for the next. Entries are never sent twice: if the answer to
a write is lost, its requests fail, since a second write could double the work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from api.fleet.redis_status import RedisStatus
from api.http.error_answers import unavailable
from api.online.inflight import InflightRequest, InflightRequests
from shared import keys, messages
from shared.connections import refuses_writes
from shared.errors import ServiceError
from shared.keys import ModelKey
from shared.messages import FIELD, ROWS, Entry

log = structlog.get_logger()

_ADD_ENTRIES = (Path(__file__).parent / "scripts" / "add_entries.lua").read_text(encoding="utf-8")


IdentityOf: TypeAlias = Callable[[ModelKey], bytes]
"""Returns the spec and artifact digests in entries for a model version (`shared/model_identity.py`)."""


def any_identity(_: ModelKey) -> bytes:
    """No digests: every worker takes the entry."""
    return b""


class EntryWriter:
    """Queues and writes the entries of requests, and withdraws entries of ended requests."""

    def __init__(
        self,
        client: Redis,
        gateway: str,
        inflight: InflightRequests,
        queue: RedisStatus,
        clock: Callable[[], float] = time.monotonic,
        *,
        identity_of: IdentityOf = any_identity,
    ) -> None:
        self._client = client
        self._gateway = gateway
        self._inflight = inflight
        self._queue = queue
        self._clock = clock
        self._identity_of = identity_of
        self._sends: list[tuple[InflightRequest, int]] = []
        self._withdrawals: list[tuple[ModelKey, list[bytes]]] = []
        self._filled = asyncio.Event()
        self._add_entries = client.register_script(_ADD_ENTRIES)

    def send(self, request: InflightRequest) -> None:
        for part in range(len(request.parts)):
            self._sends.append((request, part))
        self._filled.set()

    def withdraw(self, request: InflightRequest) -> None:
        """Remove the request's written and unanswered entries. Unwritten entries are dropped."""
        if request.entry_ids:
            self._withdraw(request.key, list(request.entry_ids.values()))
            request.entry_ids.clear()

    async def write(self) -> None:
        """Wait for queued entries or withdrawals, and write all of them."""
        await self._filled.wait()
        self._filled.clear()
        sends = [(request, part) for request, part in self._sends if self._inflight.holds(request)]
        withdrawals = self._withdrawals
        self._sends, self._withdrawals = [], []
        if not sends and not withdrawals:
            return
        try:
            if withdrawals:
                await self._remove(withdrawals)
            if sends:
                await self._add(sends)
        except ResponseError as error:
            self._refused(sends, error)
        except (RedisError, OSError) as error:
            self._broke(sends, error)
        except Exception:
            self._failed(sends)
            raise

    async def _add(self, sends: Sequence[tuple[InflightRequest, int]]) -> None:
        """Write all entries with a single command: a command for each would cost more than all else."""
        now_s = self._clock()
        fields: list[bytes | str | int] = [FIELD, ROWS]
        encoded: list[tuple[InflightRequest, int]] = []
        for request, part in sends:
            try:
                message = messages.encode(self._entry(request, part, now_s))
            except Exception:  # the other entries are still sent
                log.exception("entry_not_encoded", model=request.key, request_id=request.request_id)
                self._failed([(request, part)])
            else:
                fields += (message, request.part_rows[part])
                encoded.append((request, part))
        if not encoded:
            return
        streams = [keys.online(request.key) for request, _ in encoded]
        entry_ids: list[bytes] = await self._add_entries(keys=streams, args=fields)
        for (request, part), entry_id in zip(encoded, entry_ids, strict=True):
            self._written(request, part, entry_id)

    async def _remove(self, withdrawals: Sequence[tuple[ModelKey, list[bytes]]]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for key, entry_ids in withdrawals:
            pipeline.execute_command("XDEL", keys.online(key), *entry_ids)
        await pipeline.execute()

    def _entry(self, request: InflightRequest, part: int, now_s: float) -> Entry:
        return Entry(
            schema=messages.SCHEMA,
            gateway=self._gateway,
            id=request.id,
            part=part,
            budget_ms=request.budget_ms(now_s),
            rows=request.part_rows[part],
            columns=request.parts[part],
            request_id=request.request_id,
            traceparent=request.traceparent,
            identity=self._identity_of(request.key),
            binary_outputs=bool(request.output_dtypes),
        )

    def _written(self, request: InflightRequest, part: int, entry_id: bytes) -> None:
        if part in request.answers:
            return  # the worker's reply arrived before this answer
        if self._inflight.holds(request):
            request.entry_ids[part] = entry_id
        else:
            self._withdraw(request.key, [entry_id])

    def _withdraw(self, key: ModelKey, entry_ids: list[bytes]) -> None:
        self._withdrawals.append((key, entry_ids))
        self._filled.set()

    def _refused(self, sends: Sequence[tuple[InflightRequest, int]], error: Exception) -> None:
        """The server rejected the command, for example because its memory is full."""
        if refuses_writes(error):
            self._queue.judge(error)
        log.warning("entries_refused", entries=len(sends), error=str(error))
        for request, _ in sends:
            self._inflight.fail(request, unavailable())
            self.withdraw(request)

    def _failed(self, sends: Sequence[tuple[InflightRequest, int]]) -> None:
        """An unexpected error, a bug of this program: fail the requests now instead of at their deadline."""
        for request, _ in sends:
            self._inflight.fail(request, ServiceError("The request could not be written to the queue."))
            self.withdraw(request)

    def _broke(self, sends: Sequence[tuple[InflightRequest, int]], error: Exception) -> None:
        self._queue.broke(error)
        for request, _ in sends:
            self._inflight.fail(request, unavailable())
