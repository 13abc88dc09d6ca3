"""Live workers, read from their heartbeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis

from shared import connections, keys
from shared.worker_records import GpuUse, HeldModel, ModelState, SupervisorFacts, WorkerRecord, from_hash


def connect(url: str) -> redis.Redis:
    """Returns a client with a short timeout, for commands run by a person."""
    return connections.connect(url, timeout_s=2)


def live_workers(client: redis.Redis) -> list[WorkerRecord]:
    """Returns every worker with a heartbeat, sorted by id. Raises redis.RedisError."""
    ids: list[Any] = client.zrange(keys.workers(), 0, -1)
    pipeline = client.pipeline(transaction=False)
    for worker_id in ids:
        pipeline.hgetall(keys.worker(worker_id.decode(errors="replace")))
    records = (from_hash(fields) for fields in pipeline.execute())
    return sorted((record for record in records if record is not None), key=lambda record: record.id)


def workers_of(client: redis.Redis, name: str, pid: int) -> list[WorkerRecord]:
    """Returns the workers of the supervisor with this name and process id. Raises redis.RedisError."""
    return [
        record
        for record in live_workers(client)
        if record.supervisor and (record.supervisor.name, record.supervisor.pid) == (name, pid)
    ]


def all_ready(records: Sequence[WorkerRecord]) -> bool:
    """Whether a supervisor has as many workers as it keeps, and each is ready."""
    wanted = max((record.supervisor.workers for record in records if record.supervisor), default=1)
    return sum(record.is_ready for record in records) >= wanted


def device_text(device: str, gpu: GpuUse | None) -> str:
    """`cuda:0 87 % 10.2/79.6 GiB`; the device alone if nothing is measured."""
    if gpu is None:
        return device
    use = "" if gpu.utilization_percent is None else f" {gpu.utilization_percent} %"
    return f"{device}{use} {gpu.used_bytes / 2**30:.1f}/{gpu.total_bytes / 2**30:.1f} GiB"


def restarts_text(supervisor: SupervisorFacts | None) -> str:
    """`2, last w1/0:ab was killed by SIGKILL`, of its supervisor's workers; empty if none was restarted."""
    if supervisor is None or not supervisor.restarts:
        return ""
    last = supervisor.last_exit
    return f"{supervisor.restarts}" + (f", last {last.worker} {last.reason}" if last else "")


def held_text(models: dict[str, HeldModel]) -> str:
    """`iris@1.0.0, quality@1.0.0; classifier@1.0.0 failed: …`"""
    loaded = ", ".join(key for key, model in models.items() if model.state is ModelState.LOADED) or "no model"
    failed = [
        f"{key} failed: {model.reason}" for key, model in models.items() if model.state is ModelState.FAILED
    ]
    loading = [f"{key} loading" for key, model in models.items() if model.state is ModelState.LOADING]
    return "; ".join([loaded, *loading, *failed])
