"""Recent load of the workers, from the counters in their heartbeats: online rows, and engine time by lane.

Every gateway computes the same values, whatever its share of the requests is. Pure: time is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shared.keys import ModelKey
from shared.worker_records import WorkerRecord

MEMORY_S = 30.0
"""Time constant of the smoothing: after it, a measurement has about a third of its weight."""


@dataclass(frozen=True)
class WorkerLoad:
    """The recent load of a worker."""

    online_share: float = 0.0  # of its engine's time, 0 to 1
    offline_share: float = 0.0
    online_rows_per_s: Mapping[str, float] = field(default_factory=dict)  # by model key


@dataclass(frozen=True)
class _Seen:
    record: WorkerRecord
    at_s: float
    load: WorkerLoad


class WorkerLoads:
    """The smoothed load of each live worker. Owned by the gateway."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def see(self, workers: Iterable[WorkerRecord], now_s: float) -> None:
        """Update from the heartbeats at a monotonic time. Workers that are missing are removed."""
        self._seen = {record.id: _next(self._seen.get(record.id), record, now_s) for record in workers}

    def of(self, worker_id: str) -> WorkerLoad:
        """The load of a worker; zero if it is unknown."""
        seen = self._seen.get(worker_id)
        return seen.load if seen is not None else WorkerLoad()

    def online_rows_per_s(self, key: ModelKey) -> float:
        """Online rows per second of a model version, of all workers together."""
        return sum(seen.load.online_rows_per_s.get(key, 0.0) for seen in self._seen.values())


def _next(before: _Seen | None, record: WorkerRecord, now_s: float) -> _Seen:
    if before is None:
        return _Seen(record, now_s, WorkerLoad())
    passed_s = now_s - before.at_s
    if passed_s <= 0:
        return before
    old, was = before.load, before.record

    def smoothed(value: float, grown: float) -> float:
        """Smooth a rate. Counters never shrink: a restarted worker has a new id."""
        return value + (1 - math.exp(-passed_s / MEMORY_S)) * (max(0.0, grown) / passed_s - value)

    load = WorkerLoad(
        online_share=min(1.0, smoothed(old.online_share, record.online_s - was.online_s)),
        offline_share=min(1.0, smoothed(old.offline_share, record.offline_s - was.offline_s)),
        online_rows_per_s={
            key: smoothed(old.online_rows_per_s.get(key, 0.0), held.batch_rows - _rows_before(was, key))
            for key, held in record.models.items()
        },
    )
    return _Seen(record, now_s, load)


def _rows_before(record: WorkerRecord, key: str) -> int:
    return record.models[key].batch_rows if key in record.models else 0
