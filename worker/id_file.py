"""The id file of a worker, for probes on its own host."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from shared.settings import Settings


def id_file(settings: Settings, worker_id: str) -> Path:
    """Its time is updated with each beat of the worker, whether or not Redis answers."""
    return settings.run_dir / f"worker-{worker_id.replace('/', '.').replace(':', '-')}.id"


class IdFile:
    """A worker's own id file."""

    def __init__(self, settings: Settings, worker_id: str) -> None:
        self._path = id_file(settings, worker_id)
        self._worker_id = worker_id

    def write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(self._worker_id, encoding="utf-8")

    def touch(self) -> None:
        """Update the file's time for the liveness probe, which asks no server."""
        with suppress(OSError):
            self._path.touch()

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
