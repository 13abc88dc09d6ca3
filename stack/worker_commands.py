"""`takt workers`: lists the workers that send a heartbeat, and drains them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import redis
import typer

from shared import keys
from shared.worker_records import DRAIN_KEPT_S, WorkerRecord
from stack.command_errors import CommandError
from stack.live_workers import device_text, held_text, live_workers, restarts_text
from stack.redis_url import opened_queue
from stack.up_output import show

LOOK_EVERY_S = 0.25


def show_workers(data: Path, *, as_json: bool) -> None:
    """Print every worker with a heartbeat: device, models, work. Raises CommandError if no queue answers."""
    with opened_queue(data) as client:
        records = live_workers(client)
    if as_json:
        for record in records:
            typer.echo(msgspec.json.encode(record))
        return
    columns = ("worker", "host", "pid", "device", "state", "up", "memory", "cpu", "restarts", "models", "now")
    show(columns, [_row(record) for record in records], empty="no worker has a heartbeat")


def drain_workers(
    data: Path, names: Sequence[str], *, everyone: bool, wait: bool, limit_s: float | None
) -> bool:
    """Drain workers. Returns False if some still hold work after `limit_s`.

    Raises CommandError if no queue answers, or if a worker does not exist.
    """
    with opened_queue(data) as client:
        ids = [record.id for record in _chosen(client, names, everyone=everyone)]
        for worker_id in ids:
            client.set(keys.drain(worker_id), "1", ex=DRAIN_KEPT_S)
        if not wait:
            typer.echo(f"draining: {', '.join(ids)}")
            return True
        return _wait_until_drained(client, ids, limit_s)


def undrain_workers(data: Path, names: Sequence[str], *, everyone: bool) -> None:
    """Let workers accept work again. Raises CommandError as `drain_workers` does."""
    with opened_queue(data) as client:
        ids = [record.id for record in _chosen(client, names, everyone=everyone)]
        for worker_id in ids:
            client.delete(keys.drain(worker_id))
    typer.echo(f"accepting work: {', '.join(ids)}")


def _chosen(client: redis.Redis, names: Sequence[str], *, everyone: bool) -> list[WorkerRecord]:
    """Returns the live workers with these names or ids; a supervisor's name means all its workers."""
    if bool(names) == everyone:
        raise CommandError("name workers from takt workers list, or give --all")
    live = live_workers(client)
    if unknown := [name for name in names if not any(name in worker.names for worker in live)]:
        listed = ", ".join(record.id for record in live) or "none"
        raise CommandError(f"unknown worker: {', '.join(unknown)}; live workers: {listed}")
    return [record for record in live if everyone or record.names & set(names)]


def _wait_until_drained(client: redis.Redis, ids: Sequence[str], limit_s: float | None) -> bool:
    """Print each worker's id when it holds no work or has gone."""
    begun_s = time.monotonic()
    waiting = list(ids)
    while waiting:
        live = {record.id: record for record in live_workers(client)}
        for worker_id in [each for each in waiting if each not in live or live[each].drained]:
            waiting.remove(worker_id)
            typer.echo(f"{worker_id} {'is drained' if worker_id in live else 'is gone'}")
        if waiting and limit_s is not None and time.monotonic() - begun_s > limit_s:
            typer.secho(f"takt: still holding work after {limit_s:g} s: {', '.join(waiting)}", err=True)
            return False
        time.sleep(LOOK_EVERY_S if waiting else 0.0)
    return True


def _row(record: WorkerRecord) -> list[str]:
    return [
        record.id,
        record.host,
        str(record.pid),
        device_text(record.device, record.gpu),
        "drained" if record.drained else record.state.value,
        _since(record.started_at, datetime.now(UTC)),
        f"{record.rss_bytes / 2**20:.0f} MiB",
        "" if record.cpu_percent is None else f"{record.cpu_percent:.0f} %",
        restarts_text(record.supervisor),
        held_text(record.models),
        record.current or "idle",
    ]


def _since(started_at: str, now: datetime) -> str:
    """`42 s`, `7 min`, `3 h`, `2 d`."""
    seconds = (now - datetime.fromisoformat(started_at)).total_seconds()
    for unit, size_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds // size_s:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
