"""Cluster metrics: queue, workers, lanes and payload store. Every gateway returns the same values."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from api.fleet.redis_stats import RedisStats, read_queue
from api.fleet.snapshot import Fleet
from api.gateway import Gateway
from shared.conditions import KINDS
from shared.conditions.worker_deciders import recent_restarts
from shared.errors import PayloadError
from shared.keys import ModelKey, split_model_key
from shared.lanes import Lanes
from shared.metrics import cluster_metrics as metrics
from shared.metrics.exposition import Labels, Reading, Samples
from shared.metrics.metric import OFFLINE, ONLINE
from shared.payloads import PayloadStore
from shared.worker_records import ModelsMemory, ModelState, WorkerState


@dataclass(frozen=True)
class Cluster:
    """The state of the cluster at one moment."""

    fleet: Fleet
    served: tuple[ModelKey, ...]  # model versions of the repository and of workers
    lanes: Lanes
    queue: RedisStats
    payload_free_bytes: int | None  # None: the store does not report it
    payload_limit_bytes: int | None
    conditions: Mapping[str, int] = field(default_factory=dict)
    """Number of present conditions by code."""
    restarts: int = 0
    """Of workers, in the last five minutes."""


async def look(gateway: Gateway) -> Cluster | None:
    """Read the state of the cluster. None if Redis does not answer: old values are not exported."""
    try:
        queue = await read_queue(gateway.client)
        lanes = await gateway.fleet.lanes.lanes()
    except (RedisError, OSError):
        return None
    standing = await gateway.status.standing()
    free_bytes, limit_bytes = await asyncio.to_thread(_room, gateway.jobs.payloads)
    return Cluster(
        fleet=gateway.fleet.now,
        served=tuple(servable.key for servable in gateway.catalog),
        lanes=lanes,
        queue=queue,
        payload_free_bytes=free_bytes,
        payload_limit_bytes=limit_bytes,
        conditions=Counter(one.condition.code for one in standing),
        restarts=recent_restarts(gateway.status.facts),
    )


def readings(cluster: Cluster | None) -> Iterator[Reading]:
    """The samples of every cluster metric; a metric without a known value has none."""
    known = dict(_known(cluster)) if cluster is not None else {}
    known[metrics.REDIS_UP] = _one(cluster is not None)
    return ((metric, known.get(metric, {})) for metric in metrics.METRICS)


def _known(cluster: Cluster) -> Iterator[Reading]:
    yield from _lanes(cluster.lanes)
    yield from _workers(cluster)
    yield from _queue(cluster.queue)
    yield metrics.CONDITIONS, {(kind.code,): float(cluster.conditions.get(kind.code, 0)) for kind in KINDS}
    if cluster.payload_free_bytes is not None:
        yield metrics.PAYLOAD_FREE, _one(cluster.payload_free_bytes)
    if cluster.payload_limit_bytes is not None:
        yield metrics.PAYLOAD_LIMIT, _one(cluster.payload_limit_bytes)


def _lanes(lanes: Lanes) -> Iterator[Reading]:
    waiting: dict[Labels, float] = {}
    rows: dict[Labels, float] = {}
    running: dict[Labels, float] = {}
    oldest_s: dict[Labels, float] = {}
    for key, both in lanes.models.items():
        online, offline = (*split_model_key(key), ONLINE), (*split_model_key(key), OFFLINE)
        waiting |= {online: both.online.requests, offline: both.offline.chunks}
        rows |= {online: both.online.rows, offline: both.offline.rows}
        running |= {online: both.online.running_requests, offline: both.offline.running_chunks}
        oldest_s |= {online: both.online.oldest_s, offline: both.offline.oldest_s}
    yield metrics.WAITING, waiting
    yield metrics.WAITING_ROWS, rows
    yield metrics.RUNNING, running
    yield metrics.OLDEST_AGE, oldest_s
    yield metrics.WAITING_JOBS, {split_model_key(k): both.offline.jobs for k, both in lanes.models.items()}


def _workers(cluster: Cluster) -> Iterator[Reading]:
    fleet = cluster.fleet
    states = Counter(worker.state for worker in fleet.workers)
    yield metrics.WORKERS, {(state.value,): states[state] for state in WorkerState}
    served = dict.fromkeys((*cluster.served, *sorted(fleet.held)))
    yield (
        metrics.MODEL_WORKERS,
        {split_model_key(key): fleet.holders(key) or fleet.loads(key) for key in served},
    )
    yield metrics.FAILED_WORKERS, _failed(fleet, served)
    ages_s = [max(0, cluster.queue.now_ms - at_ms) / 1000 for at_ms in fleet.seen_at_ms.values()]
    yield metrics.HEARTBEAT_AGE, _one(max(ages_s, default=0.0))
    yield metrics.SILENT_WORKERS, _one(len(fleet.silent))
    yield metrics.RESTARTS, _one(cluster.restarts)
    yield from _models_memory(fleet)


def _models_memory(fleet: Fleet) -> Iterator[Reading]:
    found: dict[Labels, ModelsMemory] = {
        (worker.supervisor.name,): worker.memory
        for worker in fleet.workers
        if worker.supervisor is not None and worker.memory is not None
    }
    yield metrics.MODELS_MEMORY, {name: float(one.used_bytes) for name, one in found.items()}
    yield metrics.MODELS_MEMORY_LIMIT, {name: float(one.limit_bytes) for name, one in found.items()}
    yield metrics.MODEL_LOADS, {name: float(one.loads) for name, one in found.items()}
    yield metrics.MODEL_EVICTIONS, {name: float(one.evictions) for name, one in found.items()}


def _failed(fleet: Fleet, served: Mapping[ModelKey, None]) -> Samples:
    failed = Counter(
        key
        for worker in fleet.workers
        for key, model in worker.models.items()
        if model.state is ModelState.FAILED
    )
    return {split_model_key(key): float(failed[key]) for key in dict.fromkeys((*served, *failed))}


def _queue(queue: RedisStats) -> Iterator[Reading]:
    yield metrics.JOBS, {("open",): queue.jobs - queue.ended_jobs, ("ended",): queue.ended_jobs}
    yield metrics.LEASES, _one(queue.leases)
    yield metrics.WEBHOOKS, _one(queue.webhooks)
    yield metrics.DEAD_LETTERS, _one(queue.dead_letters)
    yield metrics.DEAD_LETTERS_EVER, _one(queue.dead_letters_ever)
    yield metrics.REDIS_LATENCY, _one(queue.latency_s)
    yield metrics.REDIS_MEMORY, _one(queue.memory_used_bytes)
    yield metrics.REDIS_MEMORY_LIMIT, _one(queue.memory_limit_bytes)
    yield metrics.REDIS_CLIENTS, _one(queue.clients)
    yield metrics.REDIS_LOG_OK, _one(queue.log_ok)


def _room(payloads: PayloadStore) -> tuple[int | None, int | None]:
    try:
        return payloads.free_bytes(), payloads.limit_bytes()
    except PayloadError:
        return None, None


def _one(value: float) -> Samples:
    return {(): float(value)}
