"""The reply stream of a gateway, with a single reader. Each run of a gateway has its own stream.

Workers reply with NOMKSTREAM, so that replies to a stopped gateway disappear with its stream. The gateway
creates the stream with a first entry (a beat), renews its time to live, and trims entries that it has read.
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
from shared.messages import FIELD, Reply, UnreadableMessageError, decode_reply, refusal_of_reply

log = structlog.get_logger()

TTL_S = 60
TEND_EVERY_S = 1.0
MOST_ENTRIES = 512


class ReplyStream:
    """Every method raises redis.exceptions.RedisError if Redis does not answer."""

    def __init__(self, client: Redis, gateway: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client.client()  # a connection of its own, since it always reads
        self._clock = clock
        self._gateway = gateway
        self._stream = keys.reply(gateway)
        self._dead_letters = AsyncDeadLetters(client)
        self._read_to = b"0-0"
        self._tended_s = 0.0
        self.is_open = False
        self.refusal: Exception | None = None
        """The error of the last beat, if Redis rejected it; None: it accepts writes."""

    async def open(self) -> None:
        """Create the stream, or reopen it after the connection broke.

        Raises UnsupportedServer.
        """
        # a kept connection would return to the same server, even if another is the primary now
        await self._client.aclose()
        check_server(await self._client.info("server"))
        beat: Any = await self._client.xadd(self._stream, {"beat": ""})
        if _position(beat) < _position(self._read_to):  # created again by a server with a slower clock
            self._read_to = b"0-0"
        await self._client.expire(self._stream, TTL_S)
        self._tended_s = self._clock()
        self.is_open, self.refusal = True, None

    def lost(self) -> None:
        """Record that the connection broke: open the stream again before reading."""
        self.is_open = False

    async def read(self) -> list[Reply]:
        """Return the replies since the last read; waits up to a second for the first."""
        # Any: redis-py's union of RESP2 and RESP3 answers
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
        """Delete the stream; later replies are discarded."""
        await self._client.delete(self._stream)

    async def close(self) -> None:
        await self._client.aclose()

    async def _replies(self, entry_id: bytes, data: bytes) -> list[Reply]:
        """Decode a reply. An unreadable reply becomes a dead letter. If its request ids are readable, the
        result is a reply that fails these requests."""
        try:
            return [decode_reply(data)]
        except UnreadableMessageError as error:
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
        pipeline.xadd(self._stream, {"beat": ""}, nomkstream=True)  # fails if the server is full
        _, alive, beaten = await pipeline.execute(raise_on_error=False)
        self._tended_s = self._clock()
        self.is_open = bool(alive)  # if the stream was removed, the next turn creates it again
        self.refusal = beaten if isinstance(beaten, Exception) else None


def _position(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence)
