"""Dead letters: what nobody here can read, set aside with its reason so that the consumer goes on.

    an entry · a reply · a heartbeat · a doorbell · a record of the ledger or a chunk's rows
        └─ cannot be read ─▶ takt:1:dead-letters ─▶ `takt dead-letters list | show | requeue | drop`

A thing is set aside once, however often and by however many processes it is met: its place is remembered for
a day. The newest thousand letters are kept, and of each the first 64 KiB.
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
"""Defines `set_aside`, for this module's script and for those of the ledger."""
_SET_ASIDE = f"{LUA}\nreturn set_aside(unpack(ARGV))"
_LONGEST_REASON = 500


class LetterKind(StrEnum):
    ENTRY = "entry"  # of an online stream; its place: `{model}@{version}/{entry id}`
    REPLY = "reply"  # to a gateway: `{gateway}/{entry id}`
    HEARTBEAT = "heartbeat"  # the worker's id
    DOORBELL = "doorbell"  # a Celery message: a digest of it
    CHUNK = "chunk"  # its record or its rows: `{job}/{chunk}`
    JOB = "job"  # its record: the job's id


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is to be set aside."""

    kind: LetterKind
    place: str  # where it lay: unique of its kind
    reason: str
    model: str = ""  # the model key, where it is known
    data: bytes = b""


class DeadLetter(Unreadable, frozen=True, kw_only=True):
    """Something that was set aside."""

    id: str
    at_ms: int  # by Redis' clock
    size_bytes: int  # of the whole, of which `data` may be the beginning

    @property
    def whole(self) -> bool:
        return len(self.data) == self.size_bytes


class DeadLetters:
    """The list, for threads. Methods raise redis.exceptions.RedisError where the server does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._set_aside = client.register_script(_SET_ASIDE)

    def set_aside(self, found: Unreadable) -> bool:
        """→ whether it was not set aside before."""
        return bool(self._set_aside(args=_arguments(found)))

    def newest(self, most: int) -> list[DeadLetter]:
        """Letters, the newest first."""
        entries: Any = self._client.xrevrange(keys.dead_letters(), count=most)
        return [letter_of(*entry) for entry in entries]

    def read(self, letter_id: str) -> DeadLetter | None:
        entries: Any = self._client.xrange(keys.dead_letters(), letter_id, letter_id)
        return letter_of(*entries[0]) if entries else None

    def drop(self, letter: DeadLetter) -> bool:
        """Forget a letter, and that its place was set aside. → whether it was still there."""
        with self._client.pipeline(transaction=True) as pipe:
            pipe.xdel(keys.dead_letters(), letter.id)
            pipe.delete(keys.dead_letter_mark(letter.place))
            return bool(pipe.execute()[0])


class AsyncDeadLetters:
    """The list, for asyncio."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._set_aside = client.register_script(_SET_ASIDE)

    async def set_aside(self, found: Unreadable) -> bool:
        """→ whether it was not set aside before. Raises redis.exceptions.RedisError."""
        return bool(await self._set_aside(args=_arguments(found)))


def letter_of(entry_id: bytes, fields: Mapping[bytes, bytes]) -> DeadLetter:
    """The record of a raw stream entry."""
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
    where = (keys.dead_letters(), keys.dead_letter_mark("{}"))
    return [*where, found.kind, found.place, found.model, found.reason[:_LONGEST_REASON], found.data]


def _text(value: bytes) -> str:
    return value.decode(errors="replace")  # what was corrupt may have had a name that is no text
