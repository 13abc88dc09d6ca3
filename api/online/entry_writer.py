"""The one writer of the online lane: all entries of one loop turn leave in one command.

While one is on its way, the next gathers. Nothing is sent twice: a write whose answer did not come is
a failed request, since a second try could double the work.
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

from api.fleet.queue_status import QueueStatus
from api.http.unavailable import unavailable
from api.online.inflight import InflightRequest, InflightRequests
from shared import keys, messages
from shared.connections import refuses_writes
from shared.errors import TaktError
from shared.keys import ModelKey
from shared.messages import FIELD, ROWS, Entry

log = structlog.get_logger()

_ADD_ENTRIES = (Path(__file__).parent / "scripts" / "add_entries.lua").read_text(encoding="utf-8")


IdentityOf: TypeAlias = Callable[[ModelKey], bytes]
"""What an entry for a model version says of its spec and artifact, see `shared/model_identity.py`."""


def any_identity(_: ModelKey) -> bytes:
    """Every worker takes the entry."""
    return b""


class EntryWriter:
    """What is to be written: entries of requests, and the withdrawal of entries that nobody waits for."""

    def __init__(
        self,
        client: Redis,
        gateway: str,
        pending: InflightRequests,
        link: QueueStatus,
        clock: Callable[[], float] = time.monotonic,
        *,
        identity_of: IdentityOf = any_identity,
    ) -> None:
        self._client = client
        self._gateway = gateway
        self._pending = pending
        self._link = link
        self._clock = clock
        self._identity_of = identity_of
        self._sends: list[tuple[InflightRequest, int]] = []
        self._withdrawals: list[tuple[ModelKey, list[bytes]]] = []
        self._filled = asyncio.Event()
        self._add_entries = client.register_script(_ADD_ENTRIES)

    def send(self, waiting: InflightRequest) -> None:
        self._sends.extend((waiting, part) for part in range(len(waiting.parts)))
        self._filled.set()

    def withdraw(self, waiting: InflightRequest) -> None:
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
        """One command for all entries: one for each costs more than the rest does."""
        now_s = self._clock()
        fields: list[bytes | str | int] = [FIELD, ROWS]
        encoded: list[tuple[InflightRequest, int]] = []
        for waiting, part in sends:
            try:
                message = messages.encode(self._entry(waiting, part, now_s))
            except Exception:  # one that cannot be encoded takes no other with it
                log.exception("entry_not_encoded", model=waiting.key, request_id=waiting.request_id)
                self._failed([(waiting, part)])
            else:
                fields += (message, waiting.part_rows[part])
                encoded.append((waiting, part))
        if not encoded:
            return
        streams = [keys.online(waiting.key) for waiting, _ in encoded]
        entry_ids: list[bytes] = await self._add_entries(keys=streams, args=fields)
        for (waiting, part), entry_id in zip(encoded, entry_ids, strict=True):
            self._written(waiting, part, entry_id)

    async def _remove(self, withdrawals: Sequence[tuple[ModelKey, list[bytes]]]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for key, entry_ids in withdrawals:
            pipeline.execute_command("XDEL", keys.online(key), *entry_ids)
        await pipeline.execute()

    def _entry(self, waiting: InflightRequest, part: int, now_s: float) -> Entry:
        return Entry(
            schema=messages.SCHEMA,
            gateway=self._gateway,
            id=waiting.id,
            part=part,
            budget_ms=waiting.budget_ms(now_s),
            rows=waiting.part_rows[part],
            columns=waiting.parts[part],
            request_id=waiting.request_id,
            traceparent=waiting.traceparent,
            identity=self._identity_of(waiting.key),
        )

    def _written(self, waiting: InflightRequest, part: int, entry_id: bytes) -> None:
        if part in waiting.answers:
            return  # the worker was quicker than this answer
        if self._pending.holds(waiting):
            waiting.entry_ids[part] = entry_id
        else:
            self._withdraw(waiting.key, [entry_id])

    def _withdraw(self, key: ModelKey, entry_ids: list[bytes]) -> None:
        self._withdrawals.append((key, entry_ids))
        self._filled.set()

    def _refused(self, sends: Sequence[tuple[InflightRequest, int]], error: Exception) -> None:
        """The server answers and took none of them: its memory is full, for one."""
        if refuses_writes(error):
            self._link.judge(error)
        log.warning("entries_refused", entries=len(sends), error=str(error))
        for waiting, _ in sends:
            self._pending.fail(waiting, unavailable())
            self.withdraw(waiting)

    def _failed(self, sends: Sequence[tuple[InflightRequest, int]]) -> None:
        """An unexpected error: a fault of this program. Its requests fail now; else they would wait until
        their deadline."""
        for waiting, _ in sends:
            self._pending.fail(waiting, TaktError("The request could not be written to the queue."))
            self.withdraw(waiting)

    def _broke(self, sends: Sequence[tuple[InflightRequest, int]], error: Exception) -> None:
        self._link.broke(error)
        for waiting, _ in sends:
            self._pending.fail(waiting, unavailable())
