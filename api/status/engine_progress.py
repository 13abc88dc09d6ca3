"""How long each worker's engine has made no progress in its current work. Pure: times are passed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.worker_records import WorkerRecord


@dataclass(frozen=True)
class _Mark:
    work: str
    busy_s: float
    since_s: float


class EngineProgress:
    """Compares heartbeats: an engine that has the same work and the same time of use makes no progress."""

    def __init__(self) -> None:
        self._marks: dict[str, _Mark] = {}

    def see(self, workers: Iterable[WorkerRecord], now_s: float) -> Mapping[str, float]:
        """→ seconds without progress by worker name, of workers that have work"""
        self._marks = {worker.name: self._mark(worker, now_s) for worker in workers if worker.current}
        return {name: now_s - mark.since_s for name, mark in self._marks.items()}

    def _mark(self, worker: WorkerRecord, now_s: float) -> _Mark:
        busy_s = worker.online_s + worker.offline_s
        before = self._marks.get(worker.name)
        if before is not None and (before.work, before.busy_s) == (worker.current, busy_s):
            return before
        return _Mark(worker.current, busy_s, now_s)
