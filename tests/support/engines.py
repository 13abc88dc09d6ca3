"""An engine in this process, on a real server, with models that are Python functions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import redis

from shared import keys, messages
from shared.columns import Array, Columns, encode_rows
from shared.keys import ModelKey
from shared.manifests import ArtifactManifest
from shared.messages import SCHEMA, Entry, EntryAnswer, Reply
from shared.repository import ModelVersion
from shared.specs import ModelSpec
from tests.support.polling import eventually
from tests.support.specimens import declaration
from worker.execution.engine import Engine
from worker.execution.watchdog import Watchdog
from worker.online.stream import OnlineStream
from worker.predictors import Predictor

BAD = -1.0
"""The value of `x` for which the toy model raises."""


@dataclass
class Doubling:
    """y = 2x. Raises if a batch has a bad row, records the batch sizes, and can be blocked."""

    batches: list[int] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    running: threading.Event = field(default_factory=threading.Event)
    sick: bool = False

    def __post_init__(self) -> None:
        self.gate.set()

    def __call__(self, columns: Columns) -> Array:
        x = columns["x"]
        self.running.set()
        assert self.gate.wait(60)
        self.batches.append(len(x))
        if self.sick or BAD in x:
            raise ValueError("a bad row")
        return np.asarray(2 * x)


def predictor(model: Callable[[Columns], Array], name: str = "double", **changes: object) -> Predictor:
    """A predictor with a golden row that maps 1 to 2."""
    golden = [{"inputs": {"x": 1.0}, "outputs": {"y": 2.0}}]
    spec = declaration(**({"name": name, "golden": golden, "batching": {"max_rows": 8}} | changes))
    manifest = ArtifactManifest(
        model=name, version="1.0.0", artifact="", sha256="", size_bytes=0, created_at="", frameworks={}
    )
    return Predictor(ModelVersion(spec, manifest, Path()), model)


class Caller:
    """A gateway from the engine's side: it sends entries and reads its reply stream."""

    def __init__(self, client: redis.Redis, name: str = "caller:1", identity: bytes = b"") -> None:
        self.name = name
        self._identity = identity
        self._client = client
        self._last = "0"
        self._next_id = 0
        self.answers: dict[int, EntryAnswer] = {}
        self.replies: list[Reply] = []
        client.xadd(keys.reply(name), {"beat": 1})

    def send(self, to: Predictor, *xs: object, budget_ms: int = 60_000) -> int:
        """Send a request and return its id."""
        return self.send_all(to, [xs], budget_ms=budget_ms)[0]

    def send_all(
        self, to: Predictor, requests: Sequence[Sequence[object]], *, budget_ms: int = 60_000
    ) -> list[int]:
        """Send requests that arrive together, and return their ids."""
        ids = []
        with self._client.pipeline(transaction=True) as pipe:
            for xs in requests:
                self._next_id += 1
                ids.append(self._next_id)
                entry = self._entry(to.spec, self._next_id, xs, budget_ms)
                pipe.xadd(
                    keys.online(to.key), {messages.FIELD: messages.encode(entry), messages.ROWS: len(xs)}
                )
            pipe.execute()
        return ids

    def wait_for(self, *ids: int, limit_s: float = 30.0) -> list[EntryAnswer]:
        eventually(lambda: set(ids) <= self._read().keys(), limit_s=limit_s)
        return [self.answers[i] for i in ids]

    def values(self, *ids: int) -> list[object]:
        """The outputs of single-row requests."""
        return [answer.columns[0][0] if answer.columns else None for answer in self.wait_for(*ids)]

    def _entry(self, spec: ModelSpec, request: int, xs: Sequence[object], budget_ms: int) -> Entry:
        columns = encode_rows(spec, [{"x": x} for x in xs])
        return Entry(SCHEMA, self.name, request, 0, budget_ms, len(xs), columns, identity=self._identity)

    def _read(self) -> dict[int, EntryAnswer]:
        for entry_id, fields in entries(self._client, keys.reply(self.name), f"({self._last}"):
            self._last = entry_id.decode()
            if messages.FIELD in fields:
                reply = messages.decode_reply(fields[messages.FIELD])
                self.replies.append(reply)
                self.answers |= {answer.id: answer for answer in reply.answers}
        return self.answers


class Crashes:
    """The error that ended an engine."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def __call__(self, error: BaseException) -> None:
        self.errors.append(error)


@contextmanager
def engine(
    url: str,
    *predictors: Predictor,
    worker_id: str = "w:1",
    batch_limit_s: float = 20.0,
    crashes: Crashes | None = None,
) -> Iterator[Engine]:
    """An engine that serves until the block ends."""
    by_key: dict[ModelKey, Predictor] = {p.key: p for p in predictors}
    lane = OnlineStream(
        url,
        worker_id,
        {key: p.spec.batching.max_rows for key, p in by_key.items()},
        batch_limit_s,
        identities={key: p.version.identity for key, p in by_key.items()},
    )
    started = Engine(
        worker_id,
        by_key,
        lane,
        Watchdog(60.0),
        on_crash=crashes if crashes is not None else _raise,
    )
    started.start()
    try:
        yield started
    finally:
        started.stop()
        started.join(60)
        assert not started.is_alive()


def entries(client: redis.Redis, stream: str, after: str = "-") -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The raw entries of a stream: ids and fields in bytes."""
    return cast(list[tuple[bytes, dict[bytes, bytes]]], client.xrange(stream, after))


def beat(client: redis.Redis, worker_id: str) -> None:
    """Write a heartbeat, so that a worker counts as alive for a while."""
    client.hset(keys.worker(worker_id), "record", "{}")
    client.expire(keys.worker(worker_id), 60)


def next_millisecond(client: redis.Redis) -> None:
    """Wait for the next millisecond of the server's clock, from which stream ids are derived."""
    seconds, microseconds = client.time()
    now_ms = seconds * 1000 + microseconds // 1000
    eventually(lambda: client.time()[0] * 1000 + client.time()[1] // 1000 > now_ms, every_s=0.0005)


def take_and_die(client: redis.Redis, to: Predictor, worker_id: str = "dead:1", count: int = 100) -> None:
    """Leave the state of a worker that was killed during a batch: delivered entries without a heartbeat."""
    with_group(client, to)
    client.xreadgroup(keys.WORKER_GROUP, worker_id, {keys.online(to.key): ">"}, count=count)


def with_group(client: redis.Redis, to: Predictor) -> None:
    groups = client.xinfo_groups(keys.online(to.key)) if client.exists(keys.online(to.key)) else []
    if not groups:
        client.xgroup_create(keys.online(to.key), keys.WORKER_GROUP, id="0", mkstream=True)


def _raise(error: BaseException) -> None:
    raise error
