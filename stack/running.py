"""Which queue the operator's commands ask: the one that the environment names, else the running stack's."""

from __future__ import annotations

from pathlib import Path

from stack.errors import CommandError
from stack.folder import Folder
from stack.plan import read_settings


def queue_url(data: Path) -> str:
    """The queue's URL. Raises Refusal where nothing names one."""
    settings = read_settings()
    if "redis_url" in settings.model_fields_set:
        return settings.redis_dsn()
    folder = Folder(data.resolve())
    record = folder.running()
    if record is None:
        raise CommandError(
            f"no stack runs on {folder.root}. Start one with takt up, say where its folder is with --data, "
            "or name a queue with TAKT_REDIS_URL."
        )
    return record.redis_url
