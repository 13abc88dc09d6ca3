"""Where a worker leaves its id, for probes on its own host. They run often: this module imports little."""

from __future__ import annotations

from pathlib import Path

from shared.settings import Settings


def id_file(settings: Settings) -> Path:
    """Holds the worker's id; it is changed with each beat, whether the queue answers or not."""
    return settings.run_dir / f"worker-{settings.worker_name}.id"
