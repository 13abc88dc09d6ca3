"""Converts a worker's counters to Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from shared import VERSION
from shared.keys import ModelKey, split_model_key
from shared.metrics import worker_metrics as metrics
from shared.metrics.exposition import Labels, Reading
from shared.metrics.metric import BUILD, OFFLINE, ONLINE
from shared.worker_records import HeldModel, ModelState, WorkerState
from worker.telemetry.worker_counters import ChunkCounters, EngineCounters, ModelChunks, ShadowCounters


@dataclass(frozen=True)
class Facts:
    """The input for all metrics of a worker."""

    state: WorkerState
    heartbeats: Mapping[str, int]  # by outcome
    models: Mapping[str, HeldModel]
    busy_s: Mapping[str, float]  # of the engine, by lane
    engine: Mapping[ModelKey, EngineCounters]
    chunks: ChunkCounters
    held_leases: int
    scrubbed: Mapping[str, int] = field(default_factory=dict)  # by outcome
    shadows: Mapping[ModelKey, ShadowCounters] = field(default_factory=dict)


def readings(facts: Facts) -> Iterator[Reading]:
    yield BUILD, {(VERSION,): 1.0}
    yield metrics.STATE_NOW, {(state.value,): float(state is facts.state) for state in WorkerState}
    yield metrics.HEARTBEATS, _by_outcome((), facts.heartbeats)
    yield from _models({split_model_key(key): held for key, held in facts.models.items()})
    yield metrics.BUSY, {(lane,): busy_s for lane, busy_s in facts.busy_s.items()}
    engine: dict[Labels, EngineCounters] = {
        split_model_key(key): counters for key, counters in facts.engine.items()
    }
    chunks: dict[Labels, ModelChunks] = {split_model_key(key): facts.chunks.of(key) for key in facts.engine}
    yield from _engine(engine, chunks)
    yield from _chunks(chunks)
    yield from _shadows({split_model_key(key): counters for key, counters in facts.shadows.items()})
    yield metrics.LEASES, {(): float(facts.held_leases)}
    yield metrics.SCRUBBED, _by_outcome((), facts.scrubbed)
    yield metrics.RENEWALS, _by_outcome((), facts.chunks.renewals)


def _models(models: Mapping[Labels, HeldModel]) -> Iterator[Reading]:
    loaded = {labels: held for labels, held in models.items() if held.state is ModelState.LOADED}
    yield metrics.LOADED, {labels: float(labels in loaded) for labels in models}
    yield metrics.LOAD_TIME, {labels: held.load_s for labels, held in loaded.items()}
    online = {(*labels, ONLINE): held.rows_per_s for labels, held in loaded.items()}
    yield (
        metrics.RATE,
        online | {(*labels, OFFLINE): held.slice_rows_per_s for labels, held in loaded.items()},
    )
    yield metrics.CEILING, {labels: float(held.ceiling_rows) for labels, held in loaded.items()}


def _engine(
    engine: Mapping[Labels, EngineCounters], chunks: Mapping[Labels, ModelChunks]
) -> Iterator[Reading]:
    lanes = {(*labels, ONLINE): counters.online for labels, counters in engine.items()} | {
        (*labels, OFFLINE): counters.offline for labels, counters in engine.items()
    }
    yield metrics.BATCH_ROWS, {labels: lane.rows for labels, lane in lanes.items()}
    yield metrics.PREDICT_DURATION, {labels: lane.took_s for labels, lane in lanes.items()}
    rows: dict[Labels, float] = {}
    for labels, counters in engine.items():
        rows |= _by_outcome((*labels, ONLINE), counters.online_rows)
        rows |= _by_outcome((*labels, OFFLINE), chunks[labels].rows)
    yield metrics.ROWS_ENDED, rows
    parts: dict[Labels, float] = {}
    for labels, counters in engine.items():
        parts |= _by_outcome(labels, counters.parts)
    yield metrics.PARTS, parts
    yield metrics.REDELIVERIES, {labels: counters.redeliveries for labels, counters in engine.items()}


def _chunks(chunks: Mapping[Labels, ModelChunks]) -> Iterator[Reading]:
    ended: dict[Labels, float] = {}
    for labels, model in chunks.items():
        ended |= _by_outcome(labels, model.ended)
    yield metrics.CHUNKS, ended
    yield metrics.CHUNK_DURATION, {labels: model.took_s for labels, model in chunks.items()}
    yield metrics.ATTEMPTS, {labels: model.attempts for labels, model in chunks.items()}
    yield metrics.RETRIES, {labels: model.retries for labels, model in chunks.items()}
    yield metrics.QUARANTINES, {labels: model.quarantines for labels, model in chunks.items()}


def _shadows(shadows: Mapping[Labels, ShadowCounters]) -> Iterator[Reading]:
    rows: dict[Labels, float] = {}
    for labels, counters in shadows.items():
        rows |= _by_outcome(labels, counters.rows)
    yield metrics.SHADOW_ROWS, rows
    yield metrics.SHADOW_DURATION, {labels: counters.took_s for labels, counters in shadows.items()}


def _by_outcome(labels: Labels, counts: Mapping[str, int]) -> dict[Labels, float]:
    return {(*labels, outcome): float(count) for outcome, count in counts.items()}
