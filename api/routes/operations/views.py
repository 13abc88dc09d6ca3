"""What operators are shown: workers, lanes, and what an autoscaler needs to know, as JSON."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, Field

from api.fleet.loads import Load
from shared.keys import ModelKey, split_model_key
from shared.lanes import ModelLanes
from shared.workers import HeldModel, WorkerRecord

CHUNK = "chunk"
"""How a worker's `current` begins while it runs a job's chunk."""


class HeldModelView(BaseModel):
    """One model version in one worker."""

    model: str
    version: str
    state: str = Field(description="`loading`, `loaded` or `failed`")
    reason: str = Field(description="Why it failed")
    load_s: float
    online_rows_per_s: float = Field(description="What it can do while busy online; 0: not measured yet")
    offline_rows_per_s: float = Field(description="The same of the rows of jobs")
    answered_rows_per_s: float = Field(description="What it did online, over about the last half minute")
    runtime: str


class WorkerView(BaseModel):
    """A worker, as its last heartbeat says."""

    id: str = Field(description="`{name}:{boot}`: one life of a worker")
    name: str
    host: str
    pid: int
    device: str
    state: str = Field(description="`starting`, `serving` or `draining`")
    drained: bool = Field(description="It was told to drain and holds nothing any more")
    started_at: datetime
    last_seen_at: datetime = Field(description="By Redis' clock")
    current: str = Field(
        description="What it does now: `online {model}@{version}`, `chunk {job}/{n}`, `chunk` alone "
        "where the job is another's, or nothing"
    )
    rss_bytes: int
    online_share: float = Field(description="Of its engine's time, over about the last half minute, 0 to 1")
    offline_share: float
    models: list[HeldModelView]


class Workers(BaseModel):
    workers: list[WorkerView]


class OnlineLaneView(BaseModel):
    """Requests on the way; one of more rows than a batch counts once for each of its parts."""

    requests_waiting: int = Field(description="That no worker was handed yet")
    rows_waiting: int = Field(description="In those, about")
    requests_running: int = Field(description="That a worker was handed and has not answered")
    oldest_s: float = Field(description="Age of the oldest of all these; 0: there is none")


class OfflineLaneView(BaseModel):
    """Jobs with chunks that a worker may take."""

    jobs_waiting: int
    chunks_waiting: int
    rows_waiting: int = Field(description="About")
    chunks_running: int
    rows_running: int = Field(description="In those, about")
    oldest_s: float = Field(description="Since the oldest job with such a chunk was opened; 0: there is none")


class LanesView(BaseModel):
    """Both lanes of one model version."""

    model: str
    version: str
    holders: int = Field(description="Live workers that hold it")
    online: OnlineLaneView
    offline: OfflineLaneView


class LaneList(BaseModel):
    read_at: datetime = Field(description="By Redis' clock")
    lanes: list[LanesView]


class Scaling(BaseModel):
    """What an autoscaler needs to know of a model, or of all. Sums are over the model's versions."""

    wanted_workers: int = Field(description="So many should run; see docs/scaling-out.md for the formula")
    live_workers: int = Field(description="That serve one of these model versions now")
    starting_workers: int = Field(description="That were started and do not serve yet")
    rows_waiting: int = Field(description="On both lanes")
    oldest_s: float = Field(description="Age of the oldest that waits, on either lane")
    rows_per_s_online: float = Field(description="Answered online over about the last half minute")
    rows_per_s_per_worker_online: float = Field(description="What one worker can do; 0: not measured yet")
    rows_per_s_per_worker_offline: float
    target_s: float
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


def worker_view(worker: WorkerRecord, load: Load, seen_at_ms: int) -> WorkerView:
    return WorkerView(
        id=worker.id,
        name=worker.name,
        host=worker.host,
        pid=worker.pid,
        device=worker.device,
        state=worker.state.value,
        drained=worker.drained,
        started_at=datetime.fromisoformat(worker.started_at),
        last_seen_at=time_view(seen_at_ms),
        current=worker.current,
        rss_bytes=worker.rss_bytes,
        online_share=round(load.online_share, 3),
        offline_share=round(load.offline_share, 3),
        models=[
            _held_view(key, held, load.online_rows_per_s.get(key, 0.0)) for key, held in worker.models.items()
        ],
    )


def job_of_chunk(current: str) -> str | None:
    """Whose chunk a worker runs; None where it runs none."""
    kind, _, chunk = current.partition(" ")
    return chunk.partition("/")[0] if kind == CHUNK else None


def _held_view(key: str, held: HeldModel, answered_rows_per_s: float) -> HeldModelView:
    model, version = split_model_key(key)
    return HeldModelView(
        model=model,
        version=version,
        state=held.state.value,
        reason=held.reason,
        load_s=round(held.load_s, 3),
        online_rows_per_s=held.rows_per_s,
        offline_rows_per_s=held.slice_rows_per_s,
        answered_rows_per_s=round(answered_rows_per_s, 1),
        runtime=held.runtimes.in_words(),
    )


def time_view(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
