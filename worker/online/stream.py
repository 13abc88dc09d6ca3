"""The engine's connection to the online streams: read batches, claim entries of lost workers, send answers.

Owned by the engine's thread. It has two connections: for scripts and answers, and for reads that may block.
Methods raise redis.exceptions.RedisError if Redis does not answer; unanswered entries stay pending and are
delivered again.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import structlog
from redis.connection import AbstractConnection
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared import keys, messages
from shared.connections import BLOCK_MS, TIMEOUT_S, connect
from shared.dead_letters import DeadLetters, LetterKind, Unreadable
from shared.keys import ModelKey
from shared.library_hooks import require_hooks
from shared.messages import EntryAnswer, Reply, UnreadableMessageError
from shared.model_identity import ModelIdentity
from worker.online.batching import Delivery
from worker.online.foreign_entries import ForeignEntries

log = structlog.get_logger(__name__)

require_hooks("redis", AbstractConnection, ("_get_socket", "read_response", "send_command"))

REPLY_STREAM_ENTRIES = 10_000
"""Approximate most replies in a gateway's stream; older replies are dropped. Gateways read them at once."""
MOST_CLAIMED = 256
UNBLOCK_AGAIN_S = 0.001

_SCRIPTS = Path(__file__).parent / "scripts"


class Wake:
    """A descriptor that other threads write to in order to wake the blocked engine."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)

    def __call__(self) -> None:
        with contextlib.suppress(OSError):  # full: it wakes anyway; closed: nothing sleeps
            self._write.send(b"\0")

    def fileno(self) -> int:
        return self._read.fileno()

    def close(self) -> None:
        self._read.close()
        self._write.close()

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._read.recv(4096):
                pass


@dataclass(frozen=True)
class BatchFacts:
    """The rows of a batch, all entries together, and how long its stages took."""

    rows: int
    batch_ms: float = 0.0
    predict_ms: float = 0.0


@dataclass(frozen=True)
class Finished:
    """The outcome of a batch: replies by gateway, and the ids of the entries that they answer."""

    key: ModelKey
    replies: Mapping[str, Reply]
    entry_ids: Sequence[bytes]


class OnlineStream:
    """The online streams of the model versions that this worker holds."""

    def __init__(
        self,
        url: str,
        worker_id: str,
        max_rows: Mapping[ModelKey, int],
        batch_limit_s: float,
        *,
        identities: Mapping[ModelKey, ModelIdentity] = MappingProxyType({}),
        ended: Sequence[str] = (),
    ) -> None:
        """`identities`: the digests of each model version here; entries made for others are not run.
        `ended`: workers that are known to have ended, although their heartbeats may not have expired."""
        self._worker_id = worker_id
        self._ended = tuple(ended)
        self._model_keys = list(max_rows)
        self._streams = [keys.online(key) for key in self._model_keys]
        self._max_rows = dict(max_rows)
        self._batch_limit_ms = round(batch_limit_s * 1000)
        # scripts and the blocking connection then return answers of one shape
        self._client = connect(url, protocol=2)
        self._blocking: Any = self._client.connection_pool.make_connection()  # Any: untyped there
        self._blocking_id: int | None = None
        self._turn = self._client.register_script((_SCRIPTS / "turn.lua").read_text())
        self._claim_stale = self._client.register_script((_SCRIPTS / "claim_stale.lua").read_text())
        self._claim_own = self._client.register_script((_SCRIPTS / "claim_own.lua").read_text())
        self._dead_letters = DeadLetters(self._client)
        self._foreign = ForeignEntries(self._client, worker_id, identities)
        self._clock_offset_ms = 0.0
        self.wake = Wake()

    @property
    def streams(self) -> Sequence[str]:
        return self._streams

    def now_ms(self) -> float:
        """Redis' clock, extrapolated from the last answer that carried it."""
        return self._clock_offset_ms + time.monotonic() * 1000

    def recover(self) -> list[Delivery]:
        """Start, or start again after a lost connection: create the groups. → the entries that Redis has
        delivered to this worker, with their delivery counts."""
        seconds, microseconds = self._client.time()
        self._set_clock(seconds * 1000 + microseconds / 1000)
        for key in self._model_keys:
            self.make_group(key)
        if not self._streams:
            return []
        own = self._claim_own(keys=self._streams, args=[keys.WORKER_GROUP, self._worker_id])
        return self._claimed(own, runs=0)

    def add(self, key: ModelKey, max_rows: int, identity: ModelIdentity) -> None:
        """Read a further stream; `make_group` or `recover` creates its group."""
        self._max_rows[key] = max_rows
        self._foreign.add(key, identity)
        self._model_keys.append(key)
        self._streams.append(keys.online(key))

    def make_group(self, key: ModelKey) -> None:
        """Make the workers' group of a stream, and the stream, if they are missing."""
        with _allowing("BUSYGROUP"):
            self._client.xgroup_create(keys.online(key), keys.WORKER_GROUP, id="0", mkstream=True)
        self._client.persist(keys.online(key))  # gateways let the stream of a removed version expire

    def read(self) -> list[Delivery]:
        """The next batch of the stream with the oldest head; empty if no entry waits."""
        return self._take_turn(None, read_on=True) if self._streams else []

    def answer(self, finished: Finished) -> None:
        """Send the answers of a batch and settle its entries, all or nothing."""
        self._take_turn(finished, read_on=False)

    def answer_and_read(self, finished: Finished) -> list[Delivery]:
        """`answer` and `read` in a single round trip."""
        return self._take_turn(finished, read_on=True)

    def _take_turn(self, finished: Finished | None, *, read_on: bool) -> list[Delivery]:
        """A script call: packing and parsing cost a fraction of a transaction with as many steps."""
        open_keys = self._open_keys if read_on else []
        answered = [keys.online(finished.key)] if finished else []
        replies = finished.replies if finished else {}
        entry_ids = finished.entry_ids if finished else ()
        args: list[str | int | bytes] = [
            *(keys.WORKER_GROUP, self._worker_id, messages.FIELD, REPLY_STREAM_ENTRIES),
            *(messages.ROWS, len(replies), len(entry_ids)),
            *map(messages.encode, replies.values()),
            *entry_ids,
            *(self._max_rows[key] for key in open_keys),
        ]
        streams = [*answered, *map(keys.reply, replies), *map(keys.online, open_keys)]
        return self._planned(self._turn(keys=streams, args=args), open_keys)

    @property
    def _open_keys(self) -> Sequence[ModelKey]:
        """The model versions to read; streams that rest for another worker are left out."""
        if not self._foreign.any_rests:
            return self._model_keys
        return [key for key in self._model_keys if not self._foreign.rests_s(key)]

    def claim_stale(self) -> list[Delivery]:
        """Claim entries of lost workers, and those that a live worker holds beyond the batch limit."""
        if not self._streams:
            return []
        args: list[str | int] = [
            keys.WORKER_GROUP,
            self._worker_id,
            keys.worker("{}"),
            self._batch_limit_ms,
            MOST_CLAIMED,
            *self._ended,
        ]
        return self._claimed(self._claim_stale(keys=self._streams, args=args), runs=1)

    def mark_lone_run(self, delivery: Delivery) -> None:
        """Count a run alone of a suspect entry before it begins: it may end this process."""
        self._client.xclaim(
            keys.online(delivery.key),
            keys.WORKER_GROUP,
            self._worker_id,
            0,
            [delivery.entry_id],
            retrycount=delivery.deliveries,
        )

    def wait(self) -> list[Delivery]:
        """Sleep until an entry arrives or `wake` is called, a second at most. → the entry, if any."""
        open_keys = self._open_keys
        if not open_keys:
            rests_s = [self._foreign.rests_s(key) for key in self._model_keys]
            self.sleep(min([BLOCK_MS / 1000, *rests_s]))
            return []
        try:
            return self._of_streams(self._blocking_read(open_keys) or [])
        except BaseException:
            self._blocking.disconnect()  # an answer may still be in transit on it
            self._blocking_id = None
            raise

    def _blocking_read(self, open_keys: Sequence[ModelKey]) -> Any:  # Any: redis-py's own types
        if self._blocking_id is None:
            self._blocking.connect()
            self._blocking.send_command("CLIENT", "ID")
            self._blocking_id = self._blocking.read_response()
        streams = [*map(keys.online, open_keys), *(">" for _ in open_keys)]
        group = ("GROUP", keys.WORKER_GROUP, self._worker_id, "COUNT", 1, "BLOCK", BLOCK_MS)
        self._blocking.send_command("XREADGROUP", *group, "STREAMS", *streams)
        answer = self._blocking._get_socket()  # redis-py has no public access to its socket
        ready, _, _ = select.select([answer, self.wake], [], [], TIMEOUT_S)
        if not ready:  # half-open connection: Redis answers every BLOCK_MS, even without entries
            raise RedisTimeoutError("Timeout waiting for the answer to a blocking read")
        if self.wake in ready:
            self.wake.drain()
            self._unblock(self._blocking_id, answer)
        return self._blocking.read_response()

    def _unblock(self, blocking_id: int, answer: socket.socket) -> None:
        """End the blocking read now. It travels on another connection, so the server may handle this
        command first; then nothing is blocked yet, and the command is repeated."""
        while not self._client.client_unblock(blocking_id):
            if select.select([answer], [], [], UNBLOCK_AGAIN_S)[0]:
                return

    def sleep(self, seconds: float) -> None:
        """Sleep until `wake` is called, at most `seconds`."""
        select.select([self.wake], [], [], seconds)
        self.wake.drain()

    def close(self) -> None:
        self._blocking.disconnect()
        self._client.close()
        self.wake.close()

    def _set_clock(self, now_ms: float) -> None:
        self._clock_offset_ms = now_ms - time.monotonic() * 1000

    def _planned(self, found: Any, open_keys: Sequence[ModelKey]) -> list[Delivery]:
        self._set_clock(found[0])
        if len(found) == 1:
            return []
        _, index, entries = found
        key = open_keys[index - 1]
        return self._own([self._delivery(key, entry_id, fields, 1) for entry_id, fields in entries])

    def _own(self, found: Sequence[Delivery | None]) -> list[Delivery]:
        """The entries that can be decoded and match the spec and artifact of this worker."""
        readable = [delivery for delivery in found if delivery is not None]
        foreign = [one for one in readable if self._foreign.is_foreign(one.key, one.entry)]
        if foreign:
            readable = [one for one in readable if one not in foreign]
            self._turn_away(foreign)
        if self._foreign.any_rests:
            for key in {one.key for one in readable}:
                self._foreign.own_came(key)
        return readable

    def _turn_away(self, foreign: Sequence[Delivery]) -> None:
        refused = self._foreign.put_back(foreign, self.now_ms())
        for key in {one.key for one in refused}:
            of_key = [one for one in refused if one.key == key]
            replies = answers_to(self._foreign.refusals(of_key), self._worker_id, BatchFacts(rows=1))
            self.answer(Finished(key, replies, [one.entry_id for one in of_key]))

    def _claimed(self, flat: Any, *, runs: int) -> list[Delivery]:  # Any: redis-py's own types
        """The entries that a script claimed. `runs` is added to the delivery counts of Redis."""
        quads = zip(flat[::4], flat[1::4], flat[2::4], flat[3::4], strict=True)
        found = [
            self._delivery(self._model_keys[index - 1], entry_id, fields, counted + runs)
            for index, entry_id, counted, fields in quads
        ]
        return self._own(found)

    def _of_streams(self, read: Any) -> list[Delivery]:
        streams = read.items() if isinstance(read, dict) else read
        found = [
            self._delivery(self._key_of(stream), entry_id, fields, 1)
            for stream, entries in streams
            for entry_id, fields in entries
        ]
        return self._own(found)

    def _key_of(self, stream: bytes | str) -> ModelKey:
        name = stream.decode() if isinstance(stream, bytes) else stream
        return self._model_keys[self._streams.index(name)]

    def _delivery(self, key: ModelKey, entry_id: bytes, fields: Any, deliveries: int) -> Delivery | None:
        by_name = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
        data: bytes = by_name.get(messages.FIELD, b"")
        try:
            return Delivery(key, entry_id, messages.decode_entry(data), deliveries)
        except UnreadableMessageError as error:
            self._refuse(key, entry_id, data, str(error))
            return None

    def _refuse(self, key: ModelKey, entry_id: bytes, data: bytes, reason: str) -> None:
        """Move an undecodable entry to the dead letters, and answer its gateway if the entry names it."""
        place = f"{key}/{entry_id.decode()}"
        log.error("entry_unreadable", model=key, entry_id=entry_id.decode(), reason=reason)
        self._dead_letters.set_aside(
            Unreadable(kind=LetterKind.ENTRY, place=place, model=key, reason=reason, data=data)
        )
        refusal = messages.refusal_of_entry(data, reason)
        gateway_answers = {refusal[0]: [refusal[1]]} if refusal else {}
        self.answer(
            Finished(key, answers_to(gateway_answers, self._worker_id, BatchFacts(rows=1)), [entry_id])
        )


@contextlib.contextmanager
def _allowing(code: str) -> Iterator[None]:
    """Ignore a Redis error code that means the desired state already exists."""
    try:
        yield
    except ResponseError as error:
        if not str(error).startswith(code):
            raise


def answers_to(
    gateway_answers: Mapping[str, list[EntryAnswer]], worker: str, facts: BatchFacts
) -> dict[str, Reply]:
    """The replies of a batch, by gateway."""
    return {
        gateway: Reply(messages.SCHEMA, worker, facts.rows, facts.batch_ms, facts.predict_ms, answers)
        for gateway, answers in gateway_answers.items()
    }
