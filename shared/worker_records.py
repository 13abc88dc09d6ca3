"""Heartbeats of the workers, written by each worker and read by the gateway.

A heartbeat is a hash with a TTL. After it expires, the worker counts as dead and others claim its entries.
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
"""Lifetime of a drain order that its worker does not renew, for instance because Redis is away."""
ORDER_KEPT_S = 60
"""Lifetime of other orders: of one to a worker that has ended, and of its answer."""
RESTART = "restart"
"""The order to be replaced by a successor."""
STACK = "stack"
"""The order to store the stacks of all threads: `stack {ticket}`."""
LOG = "log"
"""The order to store the latest log events: `log {ticket}`."""
_RECORD = b"record"
STATE, MODELS = "state", "models"
"""Fields of a heartbeat's hash beside the record: the state, and the loaded versions, separated by commas."""


class WorkerState(StrEnum):
    STARTING = "starting"  # loading its models; none is loaded yet
    SERVING = "serving"  # consuming for its loaded models; further models may be loading
    DRAINING = "draining"  # stopping: finishing its current work


class ModelState(StrEnum):
    LOADING = "loading"
    LOADED = "loaded"
    FAILED = "failed"  # for `reason`; the worker's other models serve


class MeasuredRuntime(msgspec.Struct, frozen=True, kw_only=True):
    """A runtime of a model: its comparison with the native runtime, and the calls that it serves."""

    name: str  # `native` is the framework's own
    bit_equal: bool = True  # to the native answers, on every compared row
    compared_rows: int = 0
    max_difference: float = 0.0
    tolerance: float = 0.0  # permitted difference; 0: bit equality
    rows_per_s: dict[int, float] = {}  # by rows per call, at warm-up; ends where it is slower than native
    serves: tuple[int, ...] = ()  # rows per call, of the measured sizes that this runtime serves


class Runtimes(msgspec.Struct, frozen=True, kw_only=True):
    """The runtimes of a model's calls."""

    note: str = ""  # why only the native runtime is available
    measured: tuple[MeasuredRuntime, ...] = ()

    def in_words(self) -> str:
        """`walk to 256 rows, native beyond`, or `native` and the reason why it is the only runtime."""
        by_rows = sorted((rows, runtime.name) for runtime in self.measured for rows in runtime.serves)
        spans = [
            (name, max(rows for rows, _ in span)) for name, span in groupby(by_rows, lambda pair: pair[1])
        ]
        if len(spans) < 2:
            name = spans[0][0] if spans else "native"
            return f"{name} ({self.note})" if self.note else name
        bounded = [f"{name} to {rows} rows" for name, rows in spans[:-1]]
        return ", ".join([*bounded, f"{spans[-1][0]} beyond"])


class HeldModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model version in a worker."""

    state: ModelState
    reason: str = ""
    load_s: float = 0.0
    rows_per_s: float = 0.0  # online, in a busy engine beside the offline lane; 0: not measured yet
    batches: int = 0  # online batches since start
    batch_rows: int = 0  # rows in them
    entry_rows: float = 0.0  # recent average of rows per online entry; 0: no entries
    digest: str = ""  # SHA-256 of the loaded artifact
    ceiling_rows: int = 0  # limit per call, found by running out of memory; 0: none found
    slice_rows_per_s: float = 0.0  # of chunk slices, measured at warm-up and since; 0: not yet
    runtimes: Runtimes = Runtimes()
    built_with: dict[str, str] = {}  # package → version that built the artifact
    warnings: tuple[str, ...] = ()  # of its framework, during loading
    spec_digest: str = ""  # of the spec it was loaded with; empty in an older worker's heartbeat
    least_call_s: float = 0.0  # shortest measured call, of any size, at warm-up or since; 0: none yet
    most_rows_per_s: float = 0.0  # highest measured rate of a call; 0: none yet
    memory_bytes: int = 0  # that its verifier measured for the opened model, without calls; 0: not measured
    peak_bytes: int = 0  # … and at most during its calls
    own_copy: str = ""  # why this worker holds a copy of its own; empty: shared with its siblings


class OnDemandVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is loaded at its first request, and dropped if others need its memory."""

    digest: str = ""  # SHA-256 of its artifact; empty: unknown
    spec_digest: str = ""
    memory_bytes: int = 0  # that its verifier measured; 0: not yet
    reason: str = ""  # why it cannot be loaded now; empty: it can


class ModelsMemory(msgspec.Struct, frozen=True, kw_only=True):
    """The memory budget of a supervisor, and the versions that it loads on demand."""

    used_bytes: int = 0
    limit_bytes: int = 0  # 0: no limit
    loads: int = 0  # versions opened since the supervisor started
    evictions: int = 0  # versions dropped for others
    on_demand: dict[str, OnDemandVersion] = {}  # by model key, loaded or not


class GpuUse(msgspec.Struct, frozen=True, kw_only=True):
    """The use of a worker's GPU, by all processes, as its driver reports it."""

    utilization_percent: int | None = None  # time in which a kernel ran; None: not reported, as with MIG
    used_bytes: int = 0
    total_bytes: int = 0
    own_bytes: int = 0  # of this worker's tensors, with its cache


class LastExit(msgspec.Struct, frozen=True, kw_only=True):
    """The latest unordered end of a worker process."""

    worker: str  # its id
    at: str  # UTC, RFC 3339
    reason: str  # `was killed by SIGKILL`, `ended with code 70`


class SupervisorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor of a worker; of an older worker, as of the worker's start."""

    name: str  # TAKT_WORKER_NAME; its workers are `{name}/0`, `{name}/1`, …
    pid: int
    workers: int  # that it keeps running
    restarts: int = 0  # of workers that ended without an order, since the supervisor started
    last_exit: LastExit | None = None  # of the worker that this one follows, or of any other
    recent_exits: tuple[LastExit, ...] = ()  # of its workers and fork servers, the latest few, oldest first
    silent_s: float = 0.0  # since its last sign of life, as the worker sees it
    problem: str = ""  # why it cannot restart workers now


class _Head(msgspec.Struct):
    schema: int = SCHEMA


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's heartbeat."""

    id: str  # `{name}:{boot}`; the name is `{supervisor}/{number}`
    host: str
    pid: int
    device: str
    state: WorkerState
    started_at: str  # UTC, RFC 3339
    models: dict[str, HeldModel]  # by model key
    rss_bytes: int = 0
    online_s: float = 0.0  # engine time since start on the online lane
    offline_s: float = 0.0  # … and on the offline lane
    current: str = ""  # current work: `online iris@1.0.0`, `chunk {job}/{n}`, or empty
    drained: bool = False  # drained on order and without work left; `state` is `draining`
    metrics_address: str = ""  # `host:port` of its Prometheus metrics; empty: none
    supervisor: SupervisorFacts | None = None  # None: an older worker's heartbeat
    clock_offset_s: float = 0.0  # the worker's clock less that of Redis
    memory: ModelsMemory | None = None  # None: each worker loads its models for itself
    cpu_percent: float | None = None  # of a core, over the last second or so; None: an older worker
    gpu: GpuUse | None = None  # None: no GPU, or not measured
    versions: dict[str, str] = {}  # of Takt, Python and libraries; empty in an older worker's heartbeat
    schema: int = SCHEMA

    @property
    def name(self) -> str:
        """The name shared by all lives of a worker."""
        return self.id.rpartition(":")[0]

    @property
    def on_demand(self) -> Mapping[str, OnDemandVersion]:
        """The versions that its supervisor loads at their first request; none while it drains."""
        if self.memory is None or self.state is WorkerState.DRAINING:
            return {}
        return self.memory.on_demand

    @property
    def names(self) -> frozenset[str]:
        """Names that an operator may use for it: its id, its name, or its supervisor's name."""
        return frozenset((self.id, self.name, *([self.supervisor.name] if self.supervisor else [])))

    @property
    def is_ready(self) -> bool:
        """Whether it serves, and loads no further model."""
        return self.state is WorkerState.SERVING and not self.loading

    @property
    def loading(self) -> list[str]:
        """The keys of the model versions that it is loading, or is going to load."""
        return [key for key, model in self.models.items() if model.state is ModelState.LOADING]

    def will_hold(self, key: ModelKey) -> bool:
        """Whether it is loading a version, or its supervisor loads it at the first request."""
        return key in self.loading or (key in self.on_demand and not self.on_demand[key].reason)

    def holds(self, key: ModelKey) -> bool:
        model = self.models.get(key)
        return self.state is WorkerState.SERVING and model is not None and model.state is ModelState.LOADED


def to_hash(record: WorkerRecord) -> dict[str, str]:
    """The hash of a heartbeat: the record as JSON, and some fields for short reads."""
    return {
        "record": msgspec.json.encode(record).decode(),
        STATE: record.state.value,
        "device": record.device,
        MODELS: ",".join(key for key, model in record.models.items() if model.state is ModelState.LOADED),
    }


class UnreadableHeartbeatError(ValueError):
    """The heartbeat is corrupt, or of a schema version that this process does not read."""


def from_hash(fields: Mapping[bytes, bytes]) -> WorkerRecord | None:
    """The heartbeat, or None if there is no readable heartbeat."""
    try:
        return read_heartbeat(fields)
    except UnreadableHeartbeatError:
        return None


def read_heartbeat(fields: Mapping[bytes, bytes]) -> WorkerRecord | None:
    """The heartbeat, or None if there is none. Raises UnreadableHeartbeatError."""
    if not fields:
        return None
    try:
        schema = msgspec.json.decode(fields[_RECORD], type=_Head).schema
        if not OLDEST <= schema <= SCHEMA:
            raise UnreadableHeartbeatError(f"schema version {schema}; {OLDEST} to {SCHEMA} are read here")
        return msgspec.json.decode(fields[_RECORD], type=WorkerRecord)
    except KeyError:
        raise UnreadableHeartbeatError("it holds no record") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableHeartbeatError(str(error)) from None
