"""What `takt workers` shows and does: who serves, as the heartbeats say, and who takes no work."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import redis
import typer

from shared import keys
from shared.workers import DRAIN_KEPT_S, WorkerRecord
from stack.errors import CommandError
from stack.heartbeats import connect, held_in_words, live_workers
from stack.running import queue_url
from stack.tables import show

LOOK_EVERY_S = 0.25


def show_workers(data: Path, *, as_json: bool) -> None:
    """Show every worker with a heartbeat: device, models, work. Raises Refusal where no queue answers."""
    with _opened(data) as client:
        records = live_workers(client)
    if as_json:
        for record in records:
            typer.echo(msgspec.json.encode(record))
        return
    columns = ("worker", "host", "pid", "device", "state", "up", "memory", "models", "now")
    show(columns, [_row(record) for record in records], empty="no worker has a heartbeat")


def drain_workers(
    data: Path, names: Sequence[str], *, everyone: bool, wait: bool, limit_s: float | None
) -> bool:
    """Have workers take no work. → False where some still hold work after `limit_s`.

    Raises Refusal where no queue answers, or a worker is not there.
    """
    with _opened(data) as client:
        ids = [record.id for record in _chosen(client, names, everyone=everyone)]
        for worker_id in ids:
            client.set(keys.drain(worker_id), "1", ex=DRAIN_KEPT_S)
        if not wait:
            typer.echo(f"told to drain: {', '.join(ids)}")
            return True
        return _wait_until_drained(client, ids, limit_s)


def undrain_workers(data: Path, names: Sequence[str], *, everyone: bool) -> None:
    """Have workers take work again. Raises Refusal as `drain_workers` does."""
    with _opened(data) as client:
        ids = [record.id for record in _chosen(client, names, everyone=everyone)]
        for worker_id in ids:
            client.delete(keys.drain(worker_id))
    typer.echo(f"told to take work again: {', '.join(ids)}")


@contextmanager
def _opened(data: Path) -> Iterator[redis.Redis]:
    try:
        with connect(queue_url(data)) as client:
            yield client
    except redis.RedisError as error:
        raise CommandError(f"the queue does not answer: {error}") from error


def _chosen(client: redis.Redis, names: Sequence[str], *, everyone: bool) -> list[WorkerRecord]:
    """The live workers of these names or ids."""
    if bool(names) == everyone:
        raise CommandError("name workers, as takt workers list does, or say --all")
    live = live_workers(client)
    if unknown := [name for name in names if not any(name in (w.id, w.name) for w in live)]:
        there = ", ".join(record.id for record in live) or "none"
        raise CommandError(f"no worker {', '.join(unknown)} has a heartbeat; there are: {there}")
    return [record for record in live if everyone or {record.id, record.name} & set(names)]


def _wait_until_drained(client: redis.Redis, ids: Sequence[str], limit_s: float | None) -> bool:
    """Say of each worker when it holds nothing any more, or is gone."""
    begun_s = time.monotonic()
    waiting = list(ids)
    while waiting:
        live = {record.id: record for record in live_workers(client)}
        for worker_id in [one for one in waiting if one not in live or live[one].drained]:
            waiting.remove(worker_id)
            typer.echo(f"{worker_id} {'is drained' if worker_id in live else 'is gone'}")
        if waiting and limit_s is not None and time.monotonic() - begun_s > limit_s:
            typer.secho(f"takt: after {limit_s:g} s these still hold work: {', '.join(waiting)}", err=True)
            return False
        time.sleep(LOOK_EVERY_S if waiting else 0.0)
    return True


def _row(record: WorkerRecord) -> list[str]:
    return [
        record.id,
        record.host,
        str(record.pid),
        record.device,
        "drained" if record.drained else record.state.value,
        _since(record.started_at, datetime.now(UTC)),
        f"{record.rss_bytes / 2**20:.0f} MiB",
        held_in_words(record.models),
        record.current or "idle",
    ]


def _since(started_at: str, now: datetime) -> str:
    """`42 s`, `7 min`, `3 h`, `2 d`."""
    seconds = (now - datetime.fromisoformat(started_at)).total_seconds()
    for unit, size_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds // size_s:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
