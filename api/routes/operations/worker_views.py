"""JSON views of workers, lanes and scaling."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from pydantic import BaseModel, Field

from api.fleet.worker_loads import WorkerLoad
from shared.keys import ModelKey, split_model_key
from shared.lanes import ModelLanes
from shared.safe_texts import foreign_text
from shared.worker_records import HeldModel, ModelsMemory, SupervisorFacts, WorkerRecord

CHUNK = "chunk"
"""First word of a worker's `current` while it runs a chunk of a job."""


class HeldModelView(BaseModel):
    """A model version in a worker."""

    model: str
    version: str
    state: str = Field(description="`loading`, `loaded` or `failed`")
    reason: str = Field(description="Reason of a failure")
    load_s: float
    online_rows_per_s: float = Field(description="Online capacity in rows per second; 0: not measured yet")
    offline_rows_per_s: float = Field(description="Capacity for job rows, in rows per second")
    answered_rows_per_s: float = Field(description="Online rows per second over about the last 30 s")
    own_copy: str = Field(
        description="Why this worker holds a copy of its own; empty: it shares one with the other workers of "
        "its supervisor"
    )
    memory_bytes: int | None = Field(
        description="Memory of the opened model, as its verifier measured it; null: not measured"
    )
    runtime: str


class ModelsMemoryView(BaseModel):
    """The memory budget of a worker's supervisor."""

    used_bytes: int = Field(
        description="Memory of all versions that it holds, as their verifiers measured it"
    )
    limit_bytes: int | None = Field(description="TAKT_MODELS_MEMORY_BYTES; null: no limit")
    loads: int = Field(description="Versions that it has loaded since it started")
    evictions: int = Field(description="Versions that it dropped for others")
    on_demand: dict[str, str] = Field(
        description="The versions that it loads at their first request, each with the reason why it cannot "
        "be loaded now; empty: it can, or is loaded"
    )


class LastExitView(BaseModel):
    """The latest end of a worker that was not ordered."""

    worker: str
    at: datetime
    reason: str


class SupervisorView(BaseModel):
    """The supervisor of a worker, as of the worker's start."""

    name: str
    pid: int
    workers: int = Field(description="Workers that it keeps running")
    restarts: int = Field(description="Workers that ended without an order since it started")
    last_exit: LastExitView | None


class GpuView(BaseModel):
    """The use of a worker's GPU, by all processes."""

    utilization_percent: int | None = Field(
        description="Time in which a kernel ran; null: not reported (MIG, or nvidia-ml-py is missing)"
    )
    used_bytes: int
    total_bytes: int
    own_bytes: int = Field(description="Memory of this worker's tensors, with its cache")


class WorkerView(BaseModel):
    """A worker, as its last heartbeat describes it."""

    id: str = Field(description="`{name}:{boot}`; every start of a worker has its own id")
    name: str = Field(description="`{supervisor}/{number}`")
    supervisor: SupervisorView | None
    host: str
    pid: int
    device: str
    state: str = Field(description="`starting`, `serving` or `draining`")
    drained: bool = Field(description="Whether it was ordered to drain and has no work left")
    started_at: datetime
    last_seen_at: datetime = Field(description="Time of the last heartbeat on the clock of Redis")
    current: str = Field(
        description="Current work: `online {model}@{version}`, `chunk {job}/{n}`, `chunk` if the job belongs "
        "to another owner, or empty"
    )
    rss_bytes: int
    cpu_percent: float | None = Field(
        description="CPU time over the last second or so, in percent of a core; null: an earlier version"
    )
    gpu: GpuView | None = Field(description="null: no GPU, or CUDA is not in use yet")
    online_share: float = Field(
        description="Share of engine time spent on online requests over about the last 30 s, 0 to 1"
    )
    offline_share: float = Field(description="Share of engine time spent on jobs, 0 to 1")
    models: list[HeldModelView]
    memory: ModelsMemoryView | None = Field(
        description="null: each worker of the supervisor loads its models for itself"
    )


class SilentWorker(BaseModel):
    """A worker whose heartbeat has expired without an order to stop."""

    name: str
    last_seen_at: datetime


class Workers(BaseModel):
    workers: list[WorkerView]
    silent: list[SilentWorker] = Field(
        description="Workers that fell silent in the last hour and have no successor: dead or hanging"
    )


class OnlineLaneView(BaseModel):
    """Online requests in progress. A request with more rows than a batch counts once per batch."""

    requests_waiting: int = Field(description="Requests that no worker has taken yet")
    rows_waiting: int = Field(description="Estimated rows of the waiting requests")
    requests_running: int = Field(description="Requests that a worker has taken and not answered")
    oldest_s: float = Field(description="Age of the oldest waiting or running request; 0: there is none")


class OfflineLaneView(BaseModel):
    """Jobs with chunks that are ready to run."""

    jobs_waiting: int
    chunks_waiting: int
    rows_waiting: int = Field(description="Estimated rows of the waiting chunks")
    chunks_running: int
    rows_running: int = Field(description="Estimated rows of the running chunks")
    oldest_s: float = Field(description="Age of the oldest job with such a chunk; 0: there is none")


class LanesView(BaseModel):
    """Both lanes of a model version."""

    model: str
    version: str
    holders: int = Field(description="Live workers that hold the model version")
    online: OnlineLaneView
    offline: OfflineLaneView


class LaneList(BaseModel):
    read_at: datetime = Field(description="Time of the reading on the clock of Redis")
    lanes: list[LanesView]


class Scaling(BaseModel):
    """Scaling data of a model or of all models, for an autoscaler. Sums are over all versions."""

    wanted_workers: int = Field(
        description="Recommended number of workers; docs/scaling-out.md explains the formula"
    )
    live_workers: int = Field(description="Workers that serve one of these model versions")
    starting_workers: int = Field(description="Workers that have started and do not serve yet")
    rows_waiting: int = Field(description="Waiting rows on both lanes")
    oldest_s: float = Field(description="Age of the oldest waiting work on either lane")
    rows_per_s_online: float = Field(description="Online rows answered per second over about the last 30 s")
    rows_per_s_per_worker_online: float = Field(
        description="Online capacity of one worker in rows per second; 0: not measured yet"
    )
    rows_per_s_per_worker_offline: float = Field(
        description="Capacity of one worker for job rows, in rows per second; 0: not measured yet"
    )
    target_s: float = Field(description="Time within which waiting work should be done")
    lanes: list[LanesView]


def lanes_view(key: ModelKey, found: ModelLanes, holders: int) -> LanesView:
    model, version = split_model_key(key)
    online, offline = found.online, found.offline
    return LanesView(
        model=model,
        version=version,
        holders=holders,
        online=OnlineLaneView(
            requests_waiting=online.requests,
            rows_waiting=online.rows,
            requests_running=online.running_requests,
            oldest_s=online.oldest_s,
        ),
        offline=OfflineLaneView(
            jobs_waiting=offline.jobs,
            chunks_waiting=offline.chunks,
            rows_waiting=offline.rows,
            chunks_running=offline.running_chunks,
            rows_running=offline.running_rows,
            oldest_s=offline.oldest_s,
        ),
    )


def worker_view(worker: WorkerRecord, load: WorkerLoad, seen_at_ms: int) -> WorkerView:
    return WorkerView(
        id=worker.id,
        name=worker.name,
        supervisor=_supervisor_view(worker.supervisor),
        host=worker.host,
        pid=worker.pid,
        device=worker.device,
        state=worker.state.value,
        drained=worker.drained,
        started_at=datetime.fromisoformat(worker.started_at),
        last_seen_at=time_view(seen_at_ms),
        current=worker.current,
        rss_bytes=worker.rss_bytes,
        cpu_percent=worker.cpu_percent,
        gpu=GpuView(**msgspec.structs.asdict(worker.gpu)) if worker.gpu else None,
        online_share=round(load.online_share, 3),
        offline_share=round(load.offline_share, 3),
        models=[
            _held_view(key, held, load.online_rows_per_s.get(key, 0.0)) for key, held in worker.models.items()
        ],
        memory=_memory_view(worker.memory) if worker.memory else None,
    )


def job_of_chunk(current: str) -> str | None:
    """The id of the job that a worker's `current` names; None if the worker runs no chunk."""
    kind, _, chunk = current.partition(" ")
    return chunk.partition("/")[0] if kind == CHUNK else None


def _supervisor_view(supervisor: SupervisorFacts | None) -> SupervisorView | None:
    return SupervisorView(**msgspec.to_builtins(supervisor)) if supervisor else None


def _memory_view(memory: ModelsMemory) -> ModelsMemoryView:
    return ModelsMemoryView(
        used_bytes=memory.used_bytes,
        limit_bytes=memory.limit_bytes or None,
        loads=memory.loads,
        evictions=memory.evictions,
        on_demand={key: foreign_text(one.reason) for key, one in memory.on_demand.items()},
    )


def _held_view(key: str, held: HeldModel, answered_rows_per_s: float) -> HeldModelView:
    model, version = split_model_key(key)
    return HeldModelView(
        model=model,
        version=version,
        state=held.state.value,
        reason=foreign_text(held.reason),
        load_s=round(held.load_s, 3),
        online_rows_per_s=held.rows_per_s,
        offline_rows_per_s=held.slice_rows_per_s,
        answered_rows_per_s=round(answered_rows_per_s, 1),
        own_copy=foreign_text(held.own_copy),
        memory_bytes=held.memory_bytes or None,
        runtime=held.runtimes.in_words(),
    )


def time_view(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
