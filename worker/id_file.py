"""The id file of a worker, for probes on its own host. Probes run often, so this module imports little."""

from __future__ import annotations

from pathlib import Path

from shared.settings import Settings


def id_file(settings: Settings) -> Path:
    """Contains the worker's id; its time is updated with each beat, whether or not Redis answers."""
    return settings.run_dir / f"worker-{settings.worker_name}.id"
