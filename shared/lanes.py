"""The lanes: waiting and running work per model version, and the age of the oldest work.

`read_lanes` reads in three round trips, for any number of model versions; `lanes_of` converts the answers to
records without a server. Ages are by Redis' clock. The cost is bounded: of a queue of more than `MOST_JOBS`
jobs, `MOST_JOBS` are read, and the others count with their average.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from redis.asyncio import Redis

from shared import keys
from shared.keys import ModelKey

MOST_JOBS = 200
"""Jobs read from a model version's queue, in the order of service: each costs two reads inside the server."""
MOST_LEASES = 1000
_SCRIPTS = Path(__file__).parent / "scripts"
_ONLINE = (_SCRIPTS / "online_lane.lua").read_text(encoding="utf-8")
_OFFLINE = (_SCRIPTS / "offline_lane.lua").read_text(encoding="utf-8")
_LINE_ARGUMENTS = (keys.job("{}"), keys.job_ready("{}"), MOST_JOBS)
_JOB_FIELDS = ("key", "rows_accepted", "chunks_total")


@dataclass(frozen=True)
class OnlineQueue:
    """Online requests. A request with more rows than a batch counts once for each of its parts."""

    requests: int = 0  # not delivered to a worker yet
    rows: int = 0  # of these requests, estimated from the recent request size
    running_requests: int = 0  # delivered to a worker and not answered
    oldest_s: float = 0.0  # age of the oldest of all these; 0: there is none


@dataclass(frozen=True)
class OfflineQueue:
    """Jobs with chunks that a worker may claim."""

    jobs: int = 0
    chunks: int = 0  # ready: stored and not leased
    rows: int = 0  # in these chunks, estimated from each job's average
    running_chunks: int = 0  # leased to a worker
    running_rows: int = 0
    oldest_s: float = 0.0  # age of the oldest of these jobs; 0: there is none


@dataclass(frozen=True)
class ModelLanes:
    """Both lanes of a model version."""

    online: OnlineQueue = OnlineQueue()
    offline: OfflineQueue = OfflineQueue()

    @property
    def idle(self) -> bool:
        """Whether no work waits or runs."""
        counts = (self.online.requests, self.online.running_requests)
        return not any((*counts, self.offline.jobs, self.offline.running_chunks))


@dataclass(frozen=True)
class Lanes:
    """All lanes at a moment."""

    read_at_ms: int = 0  # by Redis' clock; 0: never read
    models: Mapping[ModelKey, ModelLanes] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, key: ModelKey) -> ModelLanes:
        """The lanes of a model version; idle if it was not read."""
        return self.models.get(key, ModelLanes())


@dataclass(frozen=True)
class Stream:
    """The state of an online stream."""

    entries: int
    handed: int  # of these, delivered to a worker and not answered
    oldest_id: str  # `{ms}-{n}`; empty: there is none


@dataclass(frozen=True)
class JobQueue:
    """The job queue of a model version; the sums cover the jobs that were read."""

    jobs: int
    looked_at: int
    ready_chunks: int
    ready_rows: int
    oldest_at_ms: int  # creation time of the oldest job read; 0: there is none


@dataclass(frozen=True)
class Running:
    """Work of a job that is leased to workers."""

    key: ModelKey
    chunks: int
    rows: int  # estimated from the job's average per chunk


@dataclass(frozen=True)
class Found:
    """The answers of the three round trips."""

    now_ms: int
    streams: Mapping[ModelKey, Stream]
    lines: Mapping[ModelKey, JobQueue]
    running: Sequence[Running]


async def read_lanes(client: Redis, entry_rows: Mapping[ModelKey, float]) -> Lanes:
    """Both lanes of the model versions in `entry_rows`, and of all others with queued jobs.

    `entry_rows`: recent average of rows per request, by model version, as reported by the workers.
    Raises redis.exceptions.RedisError if the server does not answer.
    """
    return lanes_of(await _find(client, list(entry_rows)), entry_rows)


def lanes_of(found: Found, entry_rows: Mapping[ModelKey, float]) -> Lanes:
    """The lanes, computed from the answers."""
    models = {
        key: ModelLanes(
            online_lane(stream, entry_rows.get(key, 1.0), found.now_ms),
            offline_lane(
                found.lines[key], [of_job for of_job in found.running if of_job.key == key], found.now_ms
            ),
        )
        for key, stream in found.streams.items()
    }
    return Lanes(found.now_ms, {k: lanes for k, lanes in models.items() if k in entry_rows or not lanes.idle})


def online_lane(stream: Stream, entry_rows: float, now_ms: int) -> OnlineQueue:
    waiting = max(0, stream.entries - stream.handed)
    came_at_ms = int(stream.oldest_id.partition("-")[0] or now_ms)
    return OnlineQueue(
        requests=waiting,
        rows=round(waiting * entry_rows),
        running_requests=stream.handed,
        oldest_s=_age_s(came_at_ms, now_ms),
    )


def offline_lane(line: JobQueue, running: Sequence[Running], now_ms: int) -> OfflineQueue:
    scale = line.jobs / line.looked_at if line.looked_at else 0.0
    return OfflineQueue(
        jobs=line.jobs,
        chunks=round(scale * line.ready_chunks),
        rows=round(scale * line.ready_rows),
        running_chunks=sum(of_job.chunks for of_job in running),
        running_rows=sum(of_job.rows for of_job in running),
        oldest_s=_age_s(line.oldest_at_ms or now_ms, now_ms),
    )


def _age_s(since_ms: int, now_ms: int) -> float:
    return max(0, now_ms - since_ms) / 1000


async def _find(client: Redis, asked: Sequence[ModelKey]) -> Found:
    now_ms, known, leased = await _find_first(client)
    models = list(dict.fromkeys([*asked, *known]))
    streams, lines = await _find_waiting(client, models)
    return Found(now_ms, streams, lines, await _find_running(client, leased))


async def _find_first(client: Redis) -> tuple[int, list[ModelKey], Mapping[str, int]]:
    """The clock, the model versions that ever had jobs, and the number of leased chunks by job."""
    pipeline = client.pipeline(transaction=False)
    pipeline.time()
    pipeline.hkeys(keys.clocks())
    pipeline.zrange(keys.leases(), 0, MOST_LEASES - 1)
    (seconds, micros), known, leases = await pipeline.execute()
    return seconds * 1000 + micros // 1000, [ModelKey(key.decode()) for key in known], _leased(leases)


async def _find_waiting(
    client: Redis, models: Sequence[ModelKey]
) -> tuple[dict[ModelKey, Stream], dict[ModelKey, JobQueue]]:
    """Reads with scripts, so that the contents of entries and jobs stay in the server."""
    online, offline = client.register_script(_ONLINE), client.register_script(_OFFLINE)
    pipeline = client.pipeline(transaction=False)
    for key in models:
        await online(keys=[keys.online(key)], args=[keys.WORKER_GROUP], client=pipeline)
        await offline(keys=[keys.active(key)], args=_LINE_ARGUMENTS, client=pipeline)
    answers: list[Any] = await pipeline.execute()
    streams, lines = {}, {}
    for key, (entries, handed, oldest_id), line in zip(models, answers[::2], answers[1::2], strict=True):
        streams[key] = Stream(entries, handed, oldest_id.decode())
        lines[key] = JobQueue(*line)
    return streams, lines


async def _find_running(client: Redis, leased: Mapping[str, int]) -> list[Running]:
    pipeline = client.pipeline(transaction=False)
    for job_id in leased:
        pipeline.hmget(keys.job(job_id), _JOB_FIELDS)
    found = zip(leased.values(), await pipeline.execute(), strict=True)
    return [running for chunks, fields in found if (running := _running(chunks, fields))]


def _running(chunks: int, fields: Sequence[bytes | None]) -> Running | None:
    """None if the record is gone or cannot be read: the ledger handles that."""
    key, *numbers = fields
    if key is None or not all(number is not None and number.isdigit() for number in numbers):
        return None
    rows_stored, chunks_stored = (int(number or 0) for number in numbers)
    rows = round(chunks * rows_stored / chunks_stored) if chunks_stored else 0
    return Running(ModelKey(key.decode(errors="replace")), chunks, rows)


def _leased(names: Iterable[bytes]) -> Counter[str]:
    """Chunks by job, from the names of leases: `{job}:{chunk}:{token}`, or `{job}:upload:{token}`."""
    parts = (name.decode(errors="replace").split(":") for name in names)
    return Counter(of[0] for of in parts if len(of) == 3 and of[1].isdigit())
