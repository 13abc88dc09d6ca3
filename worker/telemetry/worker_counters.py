"""Counters of a worker since its start, exported as metrics. Every outcome exists from the start with 0,
so that readers never iterate over a growing dictionary, and Prometheus sees the first event as an
increase."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.history import Count, count_field
from shared.keys import ModelKey
from shared.metrics import worker_metrics as metrics
from shared.metrics.distribution import Distribution

SUCCEEDED, FAILED = "succeeded", "failed"
_PARTS = ("answered", FAILED, "late", "given_up")
_CHUNKS = ("committed", "repeated", "lost", "handed_back", "unreadable", FAILED)
_RENEWALS = ("renewed", "ended", FAILED)


def _of(*outcomes: str) -> dict[str, int]:
    return dict.fromkeys(outcomes, 0)


@dataclass
class LaneCounters:
    """Model calls of a lane."""

    rows: Distribution = field(default_factory=lambda: Distribution(metrics.BATCH_ROWS))
    took_s: Distribution = field(default_factory=lambda: Distribution(metrics.PREDICT_DURATION))

    def ran(self, rows: int, took_s: float) -> None:
        self.rows.add(rows)
        self.took_s.add(took_s)


@dataclass
class EngineCounters:
    """A model version in the engine; only the engine's thread writes."""

    online: LaneCounters = field(default_factory=LaneCounters)
    offline: LaneCounters = field(default_factory=LaneCounters)
    parts: dict[str, int] = field(default_factory=lambda: _of(*_PARTS))
    online_rows: dict[str, int] = field(default_factory=lambda: _of(SUCCEEDED, FAILED))
    redeliveries: int = 0

    def answered(self, *, parts: int, rows: int, failed_parts: int, failed_rows: int) -> None:
        """Count a batch that has ended, and its failures."""
        self.parts["answered"] += parts - failed_parts
        self.parts[FAILED] += failed_parts
        self.online_rows[SUCCEEDED] += rows - failed_rows
        self.online_rows[FAILED] += failed_rows


@dataclass
class ShadowCounters:
    """Rows that a model version ran as a shadow; only the shadow thread writes."""

    rows: dict[str, int] = field(default_factory=lambda: _of("agreed", "differed", FAILED))
    took_s: Distribution = field(default_factory=lambda: Distribution(metrics.SHADOW_DURATION))


@dataclass
class ModelChunks:
    """Chunks of a model version."""

    ended: dict[str, int] = field(default_factory=lambda: _of(*_CHUNKS))
    rows: dict[str, int] = field(default_factory=lambda: _of(SUCCEEDED, FAILED))
    took_s: Distribution = field(default_factory=lambda: Distribution(metrics.CHUNK_DURATION))
    attempts: int = 0
    retries: int = 0
    quarantines: int = 0


class ChunkCounters:
    """Chunks of a worker. Several threads write, under a lock, a few times per chunk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: dict[ModelKey, ModelChunks] = {}
        self.renewals = _of(*_RENEWALS)

    def of(self, key: ModelKey) -> ModelChunks:
        with self._lock:
            return self._models.setdefault(key, ModelChunks())

    def claimed(self, key: ModelKey, attempt: int) -> None:
        model = self.of(key)
        with self._lock:
            model.attempts += 1
            model.retries += attempt > 1

    def quarantined(self, key: ModelKey) -> None:
        model = self.of(key)
        with self._lock:
            model.quarantines += 1

    def committed(self, key: ModelKey, *, rows_succeeded: int, rows_failed: int) -> None:
        model = self.of(key)
        with self._lock:
            model.rows[SUCCEEDED] += rows_succeeded
            model.rows[FAILED] += rows_failed

    def totals(self) -> dict[str, int]:
        """Totals since the start by field of the history."""
        with self._lock:
            return {
                count_field(key, count): number
                for key, model in self._models.items()
                for count, number in (
                    (Count.JOB_ROWS, sum(model.rows.values())),
                    (Count.ATTEMPTS, model.attempts),
                    (Count.RETRIES, model.retries),
                    (Count.QUARANTINES, model.quarantines),
                )
            }

    def ended(self, key: ModelKey, outcome: str, took_s: float) -> None:
        model = self.of(key)
        with self._lock:
            model.ended[outcome] += 1
            model.took_s.add(took_s)

    def renewed(self, outcome: str) -> None:
        with self._lock:
            self.renewals[outcome] += 1


class WorkerHistory:
    """This worker's counts for the history: rows of committed chunks, and attempts. Owned by the heartbeat's
    thread, which writes the increments."""

    def __init__(self, counters: ChunkCounters) -> None:
        self._counters = counters
        self._written: Counter[str] = Counter()

    def counts(self) -> Mapping[str, int]:
        """The increments since the last write."""
        return Counter(self._counters.totals()) - self._written

    def written(self, counts: Mapping[str, int]) -> None:
        """Record that these increments were written."""
        self._written.update(counts)
