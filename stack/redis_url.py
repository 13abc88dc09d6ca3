"""The queue of the operator's commands: TAKT_REDIS_URL, else the queue of the running stack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from stack.command_errors import CommandError
from stack.data_folder import Folder
from stack.live_workers import connect
from stack.plan import read_settings


def queue_url(data: Path) -> str:
    """Returns the queue's URL. Raises CommandError if there is none."""
    settings = read_settings()
    if "redis_url" in settings.model_fields_set:
        return settings.redis_dsn()
    folder = Folder(data.resolve())
    record = folder.running()
    if record is None:
        raise CommandError(
            f"no stack runs in {folder.root}. Run takt up, give the stack's folder with --data, or set "
            "TAKT_REDIS_URL."
        )
    return record.redis_url


@contextmanager
def opened_queue(data: Path) -> Iterator[redis.Redis]:
    """A client of the queue. Raises CommandError if there is no queue, or it does not answer."""
    try:
        with connect(queue_url(data)) as client:
            yield client
    except redis.RedisError as error:
        raise CommandError(f"the queue does not answer: {error}") from error
