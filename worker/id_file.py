"""The id file of a worker, for probes on its own host."""

from __future__ import annotations

from pathlib import Path

from shared.settings import Settings


def id_file(settings: Settings, worker_id: str) -> Path:
    """Its time is updated with each beat of the worker, whether or not Redis answers."""
    return settings.run_dir / f"worker-{worker_id.replace('/', '.').replace(':', '-')}.id"
