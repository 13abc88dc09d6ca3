"""The stream on which workers answer this gateway: one for each life of a gateway, with one reader.

Workers answer with NOMKSTREAM, so that answers to a gateway that has gone vanish with its stream: the gateway
makes it with a first entry (a beat), keeps its time to live renewed, and cuts off what it has read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from redis.asyncio import Redis

from shared import keys
from shared.connections import BLOCK_MS
from shared.dead_letters import AsyncDeadLetters, LetterKind, Unreadable
from shared.durability import check_server
from shared.messages import FIELD, Reply, UnreadableMessage, decode_reply, refusal_of_reply

log = structlog.get_logger()

TTL_S = 60
TEND_EVERY_S = 1.0
MOST_ENTRIES = 512


class ReplyStream:
    """Every method raises redis.exceptions.RedisError where the server does not answer."""

    def __init__(self, client: Redis, gateway: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client.client()  # always reading, it shares its connection with nobody
        self._clock = clock
        self._gateway = gateway
        self._stream = keys.reply(gateway)
        self._dead_letters = AsyncDeadLetters(client)
        self._read_to = b"0-0"
        self._tended_s = 0.0
        self.is_open = False
        self.refusal: Exception | None = None
        """Why the server took no write when the stream was tended last."""

    async def open(self) -> None:
        """Make the stream, or find it again after the connection broke.

        Raises UnsupportedServer.
        """
        # kept, a connection that broke would go back to the same server, whichever is the primary by now
        await self._client.aclose()
        check_server(await self._client.info("server"))
        beat: Any = await self._client.xadd(self._stream, {"beat": ""})
        if _position(beat) < _position(self._read_to):  # made anew by a server whose clock is behind
            self._read_to = b"0-0"
        await self._client.expire(self._stream, TTL_S)
        self._tended_s = self._clock()
        self.is_open, self.refusal = True, None

    def lost(self) -> None:
        """The connection broke: the stream must be opened again before it is read."""
        self.is_open = False

    async def read(self) -> list[Reply]:
        """The replies that came since the last read; waits a second for the first."""
        # Any: redis-py's union of what RESP2 and RESP3 answer
        answer: Any = await self._client.xread(
            {self._stream: self._read_to}, count=MOST_ENTRIES, block=BLOCK_MS
        )
        replies: list[Reply] = []
        for entry_id, fields in (entry for _, entries in answer for entry in entries):
            if FIELD in fields:  # else it is a beat
                replies += await self._replies(entry_id, fields[FIELD])
            self._read_to = entry_id
        if self._clock() - self._tended_s >= TEND_EVERY_S:
            await self._tend()
        return replies

    async def remove(self) -> None:
        """What workers still answer vanishes."""
        await self._client.delete(self._stream)

    async def close(self) -> None:
        await self._client.aclose()

    async def _replies(self, entry_id: bytes, data: bytes) -> list[Reply]:
        """The reply, or in its place the refusal of those whom it was to answer, where it says so."""
        try:
            return [decode_reply(data)]
        except UnreadableMessage as error:
            reason = str(error)
        log.error("reply_unreadable", entry_id=entry_id.decode(), reason=reason)
        place = f"{self._gateway}/{entry_id.decode()}"
        await self._dead_letters.set_aside(
            Unreadable(kind=LetterKind.REPLY, place=place, reason=reason, data=data)
        )
        refusal = refusal_of_reply(data, reason)
        return [refusal] if refusal else []

    async def _tend(self) -> None:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.xtrim(self._stream, minid=self._read_to.decode(), approximate=False)
        pipeline.expire(self._stream, TTL_S)
        pipeline.xadd(self._stream, {"beat": ""}, nomkstream=True)  # which a full server refuses
        _, alive, beaten = await pipeline.execute(raise_on_error=False)
        self._tended_s = self._clock()
        self.is_open = bool(alive)  # somebody removed the stream: the next turn makes it anew
        self.refusal = beaten if isinstance(beaten, Exception) else None


def _position(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence)
