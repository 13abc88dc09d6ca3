"""Files of a worker machine by which probes and `takt up` on its host see that its processes are alive.

The supervisor updates the time of its file every second, a worker that of its own file with each heartbeat.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import msgspec

from shared.settings import Settings
from shared.worker_records import LastExit, SupervisorFacts


class SupervisorFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file. Its time is updated every second."""

    pid: int
    workers: list[str]  # ids of the workers that run, except those that are replaced
    restarts: int = 0  # of workers that ended without an order
    last_exit: LastExit | None = None
    recent_exits: tuple[LastExit, ...] = ()  # of workers and fork servers, oldest first
    problem: str = ""  # why it cannot restart workers now


def supervisor_file(run_dir: Path, name: str) -> Path:
    return run_dir / f"supervisor-{name}.json"


def read_supervisor_file(run_dir: Path, name: str) -> SupervisorFile | None:
    """None: no supervisor of this name has started on this host, or its file is corrupt."""
    try:
        return msgspec.json.decode(supervisor_file(run_dir, name).read_bytes(), type=SupervisorFile)
    except (OSError, msgspec.MsgspecError):
        return None


def current_facts(run_dir: Path, started_with: SupervisorFacts) -> SupervisorFacts:
    """The supervisor's facts by its file; those of the worker's start if there is no file."""
    found = read_supervisor_file(run_dir, started_with.name)
    if found is None or found.pid != started_with.pid:
        return started_with
    return msgspec.structs.replace(
        started_with,
        restarts=found.restarts,
        last_exit=found.last_exit,
        recent_exits=found.recent_exits,
        problem=found.problem,
        silent_s=round(_silent_s(run_dir, started_with.name), 1),
    )


def _silent_s(run_dir: Path, name: str) -> float:
    try:
        return max(0.0, time.time() - supervisor_file(run_dir, name).stat().st_mtime)
    except OSError:
        return 0.0


SILENT_MARGIN_S = 10.0


def silence_limit_s(settings: Settings) -> float:
    """How long a worker may leave its file untouched before it counts as hanging. The watchdog ends a process
    whose model call hangs; until then, a long call may delay a beat."""
    return settings.batch_limit_s + SILENT_MARGIN_S


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
