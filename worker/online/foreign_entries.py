"""Entries made for a spec or artifact of a model version that this worker does not have: it must not run
them.

If another live worker has the matching model, the entry goes back into its stream, and this worker does not
read that stream for a moment, so that the other worker takes the entry. Otherwise the gateway gets
`model_mismatch` with the digests of both sides. An entry that has ended a worker is not put back, because the
new entry would no longer be suspect.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
import redis
import structlog

from shared import keys, messages
from shared.backoff import Backoff
from shared.errors import ModelMismatchError
from shared.keys import ModelKey
from shared.messages import Entry, EntryAnswer, EntryFailure
from shared.model_identity import SAME_ON_BOTH, ModelIdentity, wire_in_words, wires_differ
from shared.worker_records import from_hash
from worker.online.batching import Delivery

log = structlog.get_logger(__name__)

REST = Backoff(first_s=0.05, longest_s=1.0)
"""How long a stream is not read after an entry went back; longer each time, until an entry of the stream
matches this worker."""
WORKERS_KNOWN_S = 0.5
"""How long the heartbeats of other workers are cached."""

_PUT_BACK = Path(__file__).parent / "scripts" / "put_back.lua"


@dataclass
class ForeignEntries:
    """Owned by the engine's thread. Methods raise redis.exceptions.RedisError."""

    client: redis.Redis
    worker_id: str
    identities: Mapping[ModelKey, ModelIdentity]
    clock: Callable[[], float] = time.monotonic
    _rests: dict[ModelKey, tuple[float, int]] = field(default_factory=dict)  # end of the rest, rests in a row
    _known: tuple[float, dict[str, Mapping[str, ModelIdentity]]] = (float("-inf"), {})
    _put_back_script: Any = None  # redis-py's own type

    def __post_init__(self) -> None:
        self._own: dict[ModelKey, ModelIdentity] = {}
        self._wires: dict[ModelKey, bytes] = {}
        for key, identity in self.identities.items():
            self.add(key, identity)
        self._put_back_script = self.client.register_script(_PUT_BACK.read_text(encoding="utf-8"))

    def add(self, key: ModelKey, identity: ModelIdentity) -> None:
        """Compare the entries of a further model version with this worker's identity of it."""
        self._own[key], self._wires[key] = identity, identity.wire

    def is_foreign(self, key: ModelKey, entry: Entry) -> bool:
        wire = self._wires.get(key, b"")
        return entry.identity != wire and wires_differ(wire, entry.identity)

    def own_came(self, key: ModelKey) -> None:
        """An entry of this stream matched this worker."""
        self._rests.pop(key, None)

    @property
    def any_rests(self) -> bool:
        return bool(self._rests)

    def rests_s(self, key: ModelKey) -> float:
        """Seconds for which this stream is still not read."""
        until_s, _ = self._rests.get(key, (0.0, 0))
        return max(0.0, until_s - self.clock())

    def put_back(self, foreign: Sequence[Delivery], now_ms: float) -> list[Delivery]:
        """Put back the entries that another live worker can run. → the rest, to be refused."""
        others = self._others()
        refused: list[Delivery] = []
        for delivery in foreign:
            if delivery.suspect or not _has(others, delivery):
                refused.append(delivery)
            else:
                self._put_back(delivery, now_ms)
                self._rest(delivery.key)
        return refused

    def refusals(self, refused: Sequence[Delivery]) -> dict[str, list[EntryAnswer]]:
        """The refusals by gateway."""
        answers: dict[str, list[EntryAnswer]] = {}
        for delivery in refused:
            entry, detail = delivery.entry, self._detail(delivery)
            log.error("entry_foreign", model=delivery.key, gateway=entry.gateway, reason=detail)
            failure = EntryFailure(ModelMismatchError.code, detail)
            answers.setdefault(entry.gateway, []).append(
                EntryAnswer(entry.id, entry.part, 0.0, None, failure)
            )
        return answers

    def _detail(self, delivery: Delivery) -> str:
        theirs, own = wire_in_words(delivery.entry.identity), self._own[delivery.key].in_words()
        return f"{delivery.key}: the gateway has {theirs}; worker {self.worker_id} has {own}. {SAME_ON_BOTH}"

    def _put_back(self, delivery: Delivery, now_ms: float) -> None:
        entry = delivery.entry
        left_ms = entry.budget_ms - max(0, round(now_ms - delivery.added_ms))
        again = messages.encode(msgspec.structs.replace(entry, budget_ms=max(0, left_ms)))
        self._put_back_script(
            keys=[keys.online(delivery.key)],
            args=[keys.WORKER_GROUP, delivery.entry_id, messages.FIELD, again, messages.ROWS, entry.rows],
        )

    def _rest(self, key: ModelKey) -> None:
        if self.rests_s(key):
            return
        _, in_row = self._rests.get(key, (0.0, 0))
        self._rests[key] = self.clock() + REST.pause_s(in_row + 1), in_row + 1

    def _others(self) -> dict[str, Mapping[str, ModelIdentity]]:
        """The models of other live workers, by worker."""
        read_at_s, known = self._known
        if self.clock() - read_at_s < WORKERS_KNOWN_S:
            return known
        ids = cast(list[bytes], self.client.zrange(keys.workers(), 0, -1))
        with self.client.pipeline(transaction=False) as pipe:
            for worker_id in ids:
                pipe.hgetall(keys.worker(worker_id.decode(errors="replace")))
            records = [from_hash(fields) for fields in pipe.execute()]
        known = {
            record.id: {
                key: ModelIdentity(model.spec_digest, model.digest)
                for key, model in record.models.items()
                if record.holds(ModelKey(key))
            }
            for record in records
            if record is not None and record.id != self.worker_id
        }
        self._known = self.clock(), known
        return known


def _has(others: Mapping[str, Mapping[str, ModelIdentity]], delivery: Delivery) -> bool:
    """Whether another worker has the model that the entry needs. Records of older workers lack the digest."""
    held = (models[delivery.key] for models in others.values() if delivery.key in models)
    return any(
        identity.spec_sha256 and not wires_differ(identity.wire, delivery.entry.identity) for identity in held
    )
