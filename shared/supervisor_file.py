"""The file of a worker machine's supervisor, for probes and `takt up` on its own host."""

from __future__ import annotations

from pathlib import Path

import msgspec

from shared.worker_records import LastExit


class SupervisorFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file. Its time is updated every second."""

    pid: int
    workers: list[str]  # ids of the workers that run, except those that are replaced
    restarts: int = 0  # of workers that ended without an order
    last_exit: LastExit | None = None


def supervisor_file(run_dir: Path, name: str) -> Path:
    return run_dir / f"supervisor-{name}.json"


def read_supervisor_file(run_dir: Path, name: str) -> SupervisorFile | None:
    """None: no supervisor of this name has started on this host, or its file is corrupt."""
    try:
        return msgspec.json.decode(supervisor_file(run_dir, name).read_bytes(), type=SupervisorFile)
    except (OSError, msgspec.MsgspecError):
        return None
