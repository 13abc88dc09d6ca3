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
"""Of a model version's line, those that are served next: each costs two reads."""
MOST_LEASES = 1000
_ONLINE = (Path(__file__).parent / "scripts" / "online_lane.lua").read_text(encoding="utf-8")
_JOB_FIELDS = ("key", "rows_accepted", "chunks_total", "created_at_ms")


@dataclass(frozen=True)
class OnlineLane:
    """Requests on the way; one of more rows than a batch counts once for each of its parts."""

    requests: int = 0  # that no worker was handed yet
    rows: int = 0  # of those, about: by the size that requests had lately
    running_requests: int = 0  # that a worker was handed and has not answered
    oldest_s: float = 0.0  # since the oldest of all these came; 0: there is none


@dataclass(frozen=True)
class OfflineLane:
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

    online: OnlineLane = OnlineLane()
    offline: OfflineLane = OfflineLane()

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
class JobStock:
    """A job as it was found: what its chunks hold, and how many may be taken."""

    key: ModelKey
    rows_stored: int
    chunks_stored: int
    created_at_ms: int
    ready_chunks: int

    def rows_in(self, chunks: int) -> int:
        """About how many rows so many of its chunks have."""
        return round(chunks * self.rows_stored / self.chunks_stored) if self.chunks_stored else 0


@dataclass(frozen=True)
class Found:
    """What three round trips brought."""

    now_ms: int
    streams: Mapping[ModelKey, Stream]
    lines: Mapping[ModelKey, tuple[int, Sequence[str]]]  # how many jobs are in it, and the ids of its first
    leased: Mapping[str, int]  # job id → chunks of it that workers hold
    stocks: Mapping[str, JobStock]  # by job id, of those that can be read


async def read_lanes(client: Redis, entry_rows: Mapping[ModelKey, float]) -> Lanes:
    """Both lanes of the model versions in `entry_rows`, and of each other that has jobs in its line.

    `entry_rows` says about how many rows a request of each model version has lately, as its workers tell.
    Raises redis.exceptions.RedisError where the server does not answer.
    """
    return lanes_of(await _find(client, list(entry_rows)), entry_rows)


def lanes_of(found: Found, entry_rows: Mapping[ModelKey, float]) -> Lanes:
    """The lanes of what was found."""
    running = _by_model(found)
    models = {
        key: ModelLanes(
            online_lane(found.streams[key], entry_rows.get(key, 1.0), found.now_ms),
            offline_lane(*found.lines[key], running.get(key, ()), found),
        )
        for key in found.streams
    }
    return Lanes(found.now_ms, {k: lanes for k, lanes in models.items() if k in entry_rows or not lanes.idle})


def online_lane(stream: Stream, entry_rows: float, now_ms: int) -> OnlineLane:
    waiting = max(0, stream.entries - stream.handed)
    came_at_ms = int(stream.oldest_id.partition("-")[0] or now_ms)
    return OnlineLane(
        requests=waiting,
        rows=round(waiting * entry_rows),
        running_requests=stream.handed,
        oldest_s=_age_s(came_at_ms, now_ms),
    )


def offline_lane(jobs: int, ids: Sequence[str], leased_ids: Iterable[str], found: Found) -> OfflineLane:
    """The lane of one model version: `jobs` in its line, of which those of `ids` were looked at."""
    stocks = [found.stocks[job_id] for job_id in ids if job_id in found.stocks]
    scale = jobs / len(ids) if ids else 0.0
    running = [(found.stocks[job_id], found.leased[job_id]) for job_id in leased_ids]
    return OfflineLane(
        jobs=jobs,
        chunks=round(scale * sum(stock.ready_chunks for stock in stocks)),
        rows=round(scale * sum(stock.rows_in(stock.ready_chunks) for stock in stocks)),
        running_chunks=sum(chunks for _, chunks in running),
        running_rows=sum(stock.rows_in(chunks) for stock, chunks in running),
        oldest_s=_age_s(min((stock.created_at_ms for stock in stocks), default=found.now_ms), found.now_ms),
    )


def _by_model(found: Found) -> Mapping[ModelKey, list[str]]:
    """The jobs of which workers hold chunks."""
    jobs: dict[ModelKey, list[str]] = {}
    for job_id in found.leased:
        if job_id in found.stocks:
            jobs.setdefault(found.stocks[job_id].key, []).append(job_id)
    return jobs


def _age_s(since_ms: int, now_ms: int) -> float:
    return max(0, now_ms - since_ms) / 1000


async def _find(client: Redis, asked: Sequence[ModelKey]) -> Found:
    now_ms, known, leased = await _find_first(client)
    models = list(dict.fromkeys([*asked, *known]))
    streams, lines = await _find_waiting(client, models)
    ids = dict.fromkeys([*(job_id for _, first in lines.values() for job_id in first), *leased])
    return Found(now_ms, streams, lines, leased, await _find_stocks(client, list(ids)))


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
) -> tuple[dict[ModelKey, Stream], dict[ModelKey, tuple[int, list[str]]]]:
    script = client.register_script(_ONLINE)
    pipeline = client.pipeline(transaction=False)
    for key in models:
        await script(keys=[keys.online(key)], args=[keys.WORKER_GROUP], client=pipeline)
        pipeline.zcard(keys.active(key))
        pipeline.zrange(keys.active(key), 0, MOST_JOBS - 1)
    answers: list[Any] = await pipeline.execute()
    streams, lines = {}, {}
    for key, stream, jobs, first in zip(models, answers[::3], answers[1::3], answers[2::3], strict=True):
        entries, handed, oldest_id = stream
        streams[key] = Stream(entries, handed, oldest_id.decode())
        lines[key] = (jobs, [job_id.decode() for job_id in first])
    return streams, lines


async def _find_stocks(client: Redis, ids: Sequence[str]) -> dict[str, JobStock]:
    pipeline = client.pipeline(transaction=False)
    for job_id in ids:
        pipeline.hmget(keys.job(job_id), _JOB_FIELDS)
        pipeline.zcard(keys.job_ready(job_id))
    answers: list[Any] = await pipeline.execute()
    found = zip(ids, answers[::2], answers[1::2], strict=True)
    return {job_id: stock for job_id, fields, ready in found if (stock := _stock(fields, ready))}


def _stock(fields: Sequence[bytes | None], ready_chunks: int) -> JobStock | None:
    """None where the record is gone or cannot be read: the ledger sees to that."""
    key, *numbers = fields
    if key is None or not all(number is not None and number.isdigit() for number in numbers):
        return None
    rows, chunks, created_at_ms = (int(number or 0) for number in numbers)
    return JobStock(ModelKey(key.decode(errors="replace")), rows, chunks, created_at_ms, ready_chunks)


def _leased(names: Iterable[bytes]) -> Counter[str]:
    """Chunks by job, of the names of leases: `{job}:{chunk}:{token}`, or `{job}:upload:{token}`."""
    parts = (name.decode(errors="replace").split(":") for name in names)
    return Counter(of[0] for of in parts if len(of) == 3 and of[1].isdigit())
