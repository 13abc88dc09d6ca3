"""Dead letters: unreadable items, set aside with the reason, so that the consumer can continue.

    an entry · a reply · a heartbeat · a doorbell · a ledger record or a chunk's rows
        └─ unreadable ─▶ takt:1:dead-letters ─▶ `takt dead-letters list | show | requeue | drop`

An item is set aside once, even if many processes find it: its place is remembered for a day. The newest
thousand letters are kept, with the first 64 KiB of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import redis
import redis.asyncio

from shared import keys

LUA = (Path(__file__).parent / "scripts" / "dead_letters.lua").read_text(encoding="utf-8")
"""Defines `set_aside`, for the script of this module and for the ledger's scripts."""
_SET_ASIDE = f"{LUA}\nreturn set_aside(unpack(ARGV))"
_LONGEST_REASON = 500


class LetterKind(StrEnum):
    ENTRY = "entry"  # of an online stream; place: `{model}@{version}/{entry id}`
    REPLY = "reply"  # to a gateway; place: `{gateway}/{entry id}`
    HEARTBEAT = "heartbeat"  # place: the worker's id
    DOORBELL = "doorbell"  # a Celery message; place: its digest
    CHUNK = "chunk"  # a chunk's record or rows; place: `{job}/{chunk}`
    JOB = "job"  # a job's record; place: the job's id


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """An unreadable item that is to be set aside."""

    kind: LetterKind
    place: str  # where the item was found; unique per kind
    reason: str
    model: str = ""  # the model key, if known
    data: bytes = b""


class DeadLetter(Unreadable, frozen=True, kw_only=True):
    """An item that was set aside."""

    id: str
    at_ms: int  # by Redis' clock
    size_bytes: int  # of the whole item; `data` may be only its beginning

    @property
    def whole(self) -> bool:
        return len(self.data) == self.size_bytes


class DeadLetters:
    """The list of dead letters, for threads. Raises redis.exceptions.RedisError if the server does not
    answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._set_aside = client.register_script(_SET_ASIDE)

    def set_aside(self, found: Unreadable) -> bool:
        """→ whether the item is new in the list."""
        return bool(self._set_aside(args=_arguments(found)))

    def newest(self, most: int) -> list[DeadLetter]:
        """The newest letters first."""
        entries: Any = self._client.xrevrange(keys.dead_letters(), count=most)
        return [letter_of(*entry) for entry in entries]

    def read(self, letter_id: str) -> DeadLetter | None:
        entries: Any = self._client.xrange(keys.dead_letters(), letter_id, letter_id)
        return letter_of(*entries[0]) if entries else None

    def drop(self, letter: DeadLetter) -> bool:
        """Remove a letter, and the mark of its place. → whether it was still in the list."""
        with self._client.pipeline(transaction=True) as pipe:
            pipe.xdel(keys.dead_letters(), letter.id)
            pipe.delete(keys.dead_letter_mark(letter.place))
            return bool(pipe.execute()[0])


class AsyncDeadLetters:
    """The list of dead letters, for asyncio. Methods raise redis.exceptions.RedisError."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers
        self._set_aside = client.register_script(_SET_ASIDE)

    async def set_aside(self, found: Unreadable) -> bool:
        """→ whether the item is new in the list."""
        return bool(await self._set_aside(args=_arguments(found)))

    async def newest(self, most: int) -> list[DeadLetter]:
        """The newest letters first."""
        entries = await self._client.xrevrange(keys.dead_letters(), count=most)
        return [letter_of(*entry) for entry in entries]

    async def read(self, letter_id: str) -> DeadLetter | None:
        entries = await self._client.xrange(keys.dead_letters(), letter_id, letter_id)
        return letter_of(*entries[0]) if entries else None

    async def drop(self, letter: DeadLetter) -> None:
        """Remove a letter, and the mark of its place."""
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.xdel(keys.dead_letters(), letter.id)
            pipe.delete(keys.dead_letter_mark(letter.place))
            await pipe.execute()


def letter_of(entry_id: bytes, fields: Mapping[bytes, bytes]) -> DeadLetter:
    """A raw stream entry as a record."""
    return DeadLetter(
        id=entry_id.decode(),
        at_ms=int(entry_id.partition(b"-")[0]),
        kind=LetterKind(fields[b"kind"].decode()),
        place=_text(fields[b"place"]),
        model=_text(fields[b"model"]),
        reason=_text(fields[b"reason"]),
        size_bytes=int(fields[b"size_bytes"]),
        data=fields[b"data"],
    )


def _arguments(found: Unreadable) -> list[str | bytes]:
    places = (keys.dead_letters(), keys.dead_letter_mark("{}"))
    return [*places, found.kind, found.place, found.model, found.reason[:_LONGEST_REASON], found.data]


def _text(value: bytes) -> str:
    return value.decode(errors="replace")  # a corrupt item may have a name that is not text
