"""The probes of a supervisor and its workers: `python -m worker health`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from shared.liveness_files import id_file, read_supervisor_file, silence_limit_s, supervisor_file
from shared.settings import Settings
from shared.worker_records import WorkerRecord, WorkerState, from_hash

SUPERVISOR_SILENT_S = 20.0
"""A supervisor, which waits for nothing, updates its file every second."""


def problem_of_life(settings: Settings) -> str:
    """Why supervisor or workers are not alive; empty: they are, in any state. Asks no server.

    Workers that the supervisor is restarting do not count.
    """
    supervisor = read_supervisor_file(settings.run_dir, settings.worker_name)
    if supervisor is None:
        return "no supervisor of this name has started on this host"
    path = supervisor_file(settings.run_dir, settings.worker_name)
    if silent := _silence(path, settings.worker_name, SUPERVISOR_SILENT_S):
        return silent
    limit_s = silence_limit_s(settings)
    files = [(id_file(settings, worker), worker) for worker in supervisor.workers]
    return next(filter(None, (_silence(path, name, limit_s) for path, name in files)), "")


def _silence(path: Path, name: str, limit_s: float) -> str:
    try:
        silent_s = time.time() - path.stat().st_mtime
    except OSError:  # it has only just started
        return ""
    return f"{name} has been silent for {silent_s:.0f} s" if silent_s >= limit_s else ""


def problem_of_service(settings: Settings) -> str:
    """Why the workers are not ready; empty: all that run serve, at least one, and none is loading."""
    from redis.exceptions import RedisError

    if problem := problem_of_life(settings):
        return problem
    supervisor = read_supervisor_file(settings.run_dir, settings.worker_name)
    if supervisor is None or not supervisor.workers:
        return "no worker runs"
    try:
        records = _records(settings, supervisor.workers)
    except RedisError as error:
        return f"Redis does not answer: {error}"
    return next(
        filter(None, (_problem(worker, records[worker]) for worker in supervisor.workers)),
        "",
    )


def _records(settings: Settings, workers: Sequence[str]) -> dict[str, WorkerRecord | None]:
    from shared import keys
    from shared.connections import connect

    with connect(settings.redis_dsn(), timeout_s=2.0) as client:
        return {worker: from_hash(client.hgetall(keys.worker(worker))) for worker in workers}


def _problem(worker: str, record: WorkerRecord | None) -> str:
    if record is None:
        return f"{worker} has no heartbeat"
    if record.state is not WorkerState.SERVING:
        return f"{worker} is {record.state}"
    return "" if record.is_ready else f"{worker} still loads {', '.join(record.loading)}"
