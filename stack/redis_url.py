"""The queue of the operator's commands: TAKT_REDIS_URL, else the queue of the running stack."""

from __future__ import annotations

from pathlib import Path

from stack.command_errors import CommandError
from stack.data_folder import Folder
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
