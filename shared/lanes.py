"""The lanes: how much waits for each model version, how much of it runs, and since when the oldest waits.

`read_lanes` reads, in three round trips whatever the number of model versions; `lanes_of` makes records of
what was read and touches no server. Ages are by Redis' clock. What a look costs is bounded: of a line of more
than `MOST_JOBS` jobs so many are looked at, and the others count as their mean.
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
"""Of a model version's line, those that are served next: each costs two reads inside the server."""
MOST_LEASES = 1000
_SCRIPTS = Path(__file__).parent / "scripts"
_ONLINE = (_SCRIPTS / "online_lane.lua").read_text(encoding="utf-8")
_OFFLINE = (_SCRIPTS / "offline_lane.lua").read_text(encoding="utf-8")
_LINE_ARGUMENTS = (keys.job("{}"), keys.job_ready("{}"), MOST_JOBS)
_JOB_FIELDS = ("key", "rows_accepted", "chunks_total")


@dataclass(frozen=True)
class OnlineQueue:
    """Requests on the way; one of more rows than a batch counts once for each of its parts."""

    requests: int = 0  # that no worker was handed yet
    rows: int = 0  # of those, about: by the size that requests had lately
    running_requests: int = 0  # that a worker was handed and has not answered
    oldest_s: float = 0.0  # since the oldest of all these came; 0: there is none


@dataclass(frozen=True)
class OfflineQueue:
    """Jobs with chunks that a worker may take."""

    jobs: int = 0
    chunks: int = 0  # ready: stored, and leased to nobody
    rows: int = 0  # in those, about: by the mean of each job
    running_chunks: int = 0  # leased to a worker
    running_rows: int = 0
    oldest_s: float = 0.0  # since the oldest of these jobs was opened; 0: there is none


@dataclass(frozen=True)
class ModelLanes:
    """Both lanes of one model version."""

    online: OnlineQueue = OnlineQueue()
    offline: OfflineQueue = OfflineQueue()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        counts = (self.online.requests, self.online.running_requests)
        return not any((*counts, self.offline.jobs, self.offline.running_chunks))


@dataclass(frozen=True)
class Lanes:
    """All lanes at one moment."""

    read_at_ms: int = 0  # by Redis' clock; 0: never read
    models: Mapping[ModelKey, ModelLanes] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, key: ModelKey) -> ModelLanes:
        """Idle lanes where the model version was not among those that were looked at."""
        return self.models.get(key, ModelLanes())


@dataclass(frozen=True)
class Stream:
    """An online stream as it was found."""

    entries: int
    handed: int  # of those, to a worker that has not answered yet
    oldest_id: str  # `{ms}-{n}`; empty: there is none


@dataclass(frozen=True)
class JobQueue:
    """The line of jobs of one model version as it was found; the sums are over those that were looked at."""

    jobs: int
    looked_at: int
    ready_chunks: int
    ready_rows: int
    oldest_at_ms: int  # when the first of them was opened; 0: there is none


@dataclass(frozen=True)
class Running:
    """What workers hold of one job."""

    key: ModelKey
    chunks: int
    rows: int  # about: by the mean of the job's chunks


@dataclass(frozen=True)
class Found:
    """What three round trips brought."""

    now_ms: int
    streams: Mapping[ModelKey, Stream]
    lines: Mapping[ModelKey, JobQueue]
    running: Sequence[Running]


async def read_lanes(client: Redis, entry_rows: Mapping[ModelKey, float]) -> Lanes:
    """Both lanes of the model versions in `entry_rows`, and of each other that has jobs in its line.

    `entry_rows` says about how many rows a request of each model version has lately, as its workers tell.
    Raises redis.exceptions.RedisError where the server does not answer.
    """
    return lanes_of(await _find(client, list(entry_rows)), entry_rows)


def lanes_of(found: Found, entry_rows: Mapping[ModelKey, float]) -> Lanes:
    """The lanes of what was found."""
    models = {
        key: ModelLanes(
            online_lane(stream, entry_rows.get(key, 1.0), found.now_ms),
            offline_lane(found.lines[key], [one for one in found.running if one.key == key], found.now_ms),
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
        running_chunks=sum(one.chunks for one in running),
        running_rows=sum(one.rows for one in running),
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
    """The clock, the model versions that ever had jobs, and how many chunks of which job workers hold."""
    pipeline = client.pipeline(transaction=False)
    pipeline.time()
    pipeline.hkeys(keys.clocks())
    pipeline.zrange(keys.leases(), 0, MOST_LEASES - 1)
    (seconds, micros), known, leases = await pipeline.execute()
    return seconds * 1000 + micros // 1000, [ModelKey(key.decode()) for key in known], _leased(leases)


async def _find_waiting(
    client: Redis, models: Sequence[ModelKey]
) -> tuple[dict[ModelKey, Stream], dict[ModelKey, JobQueue]]:
    """By scripts, for what entries and jobs hold need not leave the server."""
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
    """None where the record is gone or cannot be read: the ledger sees to that."""
    key, *numbers = fields
    if key is None or not all(number is not None and number.isdigit() for number in numbers):
        return None
    rows_stored, chunks_stored = (int(number or 0) for number in numbers)
    rows = round(chunks * rows_stored / chunks_stored) if chunks_stored else 0
    return Running(ModelKey(key.decode(errors="replace")), chunks, rows)


def _leased(names: Iterable[bytes]) -> Counter[str]:
    """Chunks by job, of the names of leases: `{job}:{chunk}:{token}`, or `{job}:upload:{token}`."""
    parts = (name.decode(errors="replace").split(":") for name in names)
    return Counter(of[0] for of in parts if len(of) == 3 and of[1].isdigit())
