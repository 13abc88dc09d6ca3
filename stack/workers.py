"""What `takt workers` shows: who serves, as the heartbeats say."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import redis
import typer

from shared.workers import WorkerRecord
from stack.heartbeats import connect, held_in_words, live_workers
from stack.refusals import Refusal
from stack.running import queue_url
from stack.tables import show


def show_workers(data: Path, *, as_json: bool) -> None:
    """Show every worker with a heartbeat: device, models, work. Raises Refusal where no queue answers."""
    try:
        with connect(queue_url(data)) as client:
            records = live_workers(client)
    except redis.RedisError as error:
        raise Refusal(f"the queue does not answer: {error}") from error
    if as_json:
        for record in records:
            typer.echo(msgspec.json.encode(record))
        return
    columns = ("worker", "host", "pid", "device", "state", "up", "memory", "models", "now")
    show(columns, [_row(record) for record in records], empty="no worker has a heartbeat")


def _row(record: WorkerRecord) -> list[str]:
    return [
        record.id,
        record.host,
        str(record.pid),
        record.device,
        record.state.value,
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
