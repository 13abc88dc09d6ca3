"""Heartbeats: what every worker says of itself, and what the gateway makes of it.

A heartbeat is a hash with a TTL: once it is gone, the worker counts as dead and others take its entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from itertools import groupby

import msgspec

from shared.keys import ModelKey

SCHEMA = 1
OLDEST = 1
"""The oldest schema version that is still read."""
DRAIN_KEPT_S = 86_400
"""How long an order to drain is kept while its worker does not renew it, for instance as Redis is away."""
_RECORD = b"record"


class WorkerState(StrEnum):
    STARTING = "starting"  # loading its models
    SERVING = "serving"  # consuming what it has loaded
    DRAINING = "draining"  # told to stop: finishing what it holds


class ModelState(StrEnum):
    LOADING = "loading"
    LOADED = "loaded"
    FAILED = "failed"  # `reason` says why; the others serve


class MeasuredRuntime(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run a model: how it stands beside the native one, and for which calls it is taken."""

    name: str  # `native` is the framework's own
    bit_equal: bool = True  # to the native answers, on every row that was compared
    compared_rows: int = 0
    max_difference: float = 0.0
    tolerance: float = 0.0  # how far it may be off; 0: not in a bit
    rows_per_s: dict[int, float] = {}  # by rows of a call, at warm-up; no further where it fell behind
    serves: tuple[int, ...] = ()  # of those calls, the ones that it is taken for


class Runtimes(msgspec.Struct, frozen=True, kw_only=True):
    """How the calls of a model are run."""

    note: str = ""  # why there is nothing beside the native runtime
    measured: tuple[MeasuredRuntime, ...] = ()

    def in_words(self) -> str:
        """`walk to 256 rows, native beyond`, or why it is `native` alone."""
        by_rows = sorted((rows, one.name) for one in self.measured for rows in one.serves)
        spans = [
            (name, max(rows for rows, _ in span)) for name, span in groupby(by_rows, lambda pair: pair[1])
        ]
        if len(spans) < 2:
            name = spans[0][0] if spans else "native"
            return f"{name} ({self.note})" if self.note else name
        bounded = [f"{name} to {rows} rows" for name, rows in spans[:-1]]
        return ", ".join([*bounded, f"{spans[-1][0]} beyond"])


class HeldModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model version in one worker."""

    state: ModelState
    reason: str = ""
    load_s: float = 0.0
    rows_per_s: float = 0.0  # online in a busy engine, beside the offline lane; 0: not measured yet
    batches: int = 0  # online batches since start
    batch_rows: int = 0  # rows in them
    entry_rows: float = 0.0  # of an online entry, about, lately; 0: there was none
    digest: str = ""  # SHA-256 of the artifact that is loaded
    ceiling_rows: int = 0  # of one call: more ran out of memory here; 0: none did
    slice_rows_per_s: float = 0.0  # of the slices of chunks, measured at warm-up and since; 0: not yet
    runtimes: Runtimes = Runtimes()
    built_with: dict[str, str] = {}  # package → version that made the artifact
    warnings: tuple[str, ...] = ()  # of its framework, while it was loaded
    spec_digest: str = ""  # of the spec that it was loaded with; an older worker says nothing
    least_call_s: float = 0.0  # the shortest call measured, of any size, at warm-up or since; 0: none yet
    most_rows_per_s: float = 0.0  # the highest rate of a call measured; 0: none yet


class _Head(msgspec.Struct):
    schema: int = SCHEMA


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's heartbeat."""

    id: str  # `{name}:{boot}`
    host: str
    pid: int
    device: str
    state: WorkerState
    started_at: str  # UTC, RFC 3339
    models: dict[str, HeldModel]  # by model key
    rss_bytes: int = 0
    online_s: float = 0.0  # of the engine's time since start, by lane
    offline_s: float = 0.0
    current: str = ""  # what it does now: `online iris@1.0.0`, `chunk {job}/{n}`, or nothing
    drained: bool = False  # it was told to drain and holds nothing any more; `state` is `draining`
    metrics_address: str = ""  # `host:port` where Prometheus finds its metrics; empty: nowhere
    schema: int = SCHEMA

    @property
    def name(self) -> str:
        """What all lives of one worker have in common."""
        return self.id.rpartition(":")[0]

    def holds(self, key: ModelKey) -> bool:
        model = self.models.get(key)
        return self.state is WorkerState.SERVING and model is not None and model.state is ModelState.LOADED


def to_hash(record: WorkerRecord) -> dict[str, str]:
    """The hash of a heartbeat: the record as JSON, and the fields that a person looks for."""
    return {
        "record": msgspec.json.encode(record).decode(),
        "state": record.state.value,
        "device": record.device,
        "models": ",".join(key for key, model in record.models.items() if model.state is ModelState.LOADED),
    }


class UnreadableHeartbeat(ValueError):
    """The heartbeat is corrupt, or of a schema version that this process does not know."""


def from_hash(fields: Mapping[bytes, bytes]) -> WorkerRecord | None:
    """The heartbeat, or None where there is none, or none that can be read."""
    try:
        return read_heartbeat(fields)
    except UnreadableHeartbeat:
        return None


def read_heartbeat(fields: Mapping[bytes, bytes]) -> WorkerRecord | None:
    """The heartbeat, or None where there is none. Raises UnreadableHeartbeat."""
    if not fields:
        return None
    try:
        schema = msgspec.json.decode(fields[_RECORD], type=_Head).schema
        if not OLDEST <= schema <= SCHEMA:
            raise UnreadableHeartbeat(f"schema version {schema}; {OLDEST} to {SCHEMA} are read here")
        return msgspec.json.decode(fields[_RECORD], type=WorkerRecord)
    except KeyError:
        raise UnreadableHeartbeat("it holds no record") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableHeartbeat(str(error)) from None
