"""The liveness probe asks no server: supervisor and workers are alive as long as they beat, in any state."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shared.liveness_files import SupervisorFile, silence_limit_s
from shared.settings import settings
from worker.__main__ import main
from worker.health_command import SUPERVISOR_SILENT_S

WORKER = "one/0:1"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the files of this host."""
    monkeypatch.setenv("TAKT_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("TAKT_WORKER_NAME", "one")
    monkeypatch.setenv("TAKT_REDIS_URL", "redis://127.0.0.1:1/0")  # no server listens there
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


@pytest.fixture
def supervisor(folder: Path) -> Path:
    path = folder / "supervisor-one.json"
    path.write_bytes(msgspec.json.encode(SupervisorFile(pid=1, workers=[WORKER])))
    return path


@pytest.fixture
def worker(folder: Path) -> Path:
    path = folder / "worker-one.0-1.id"
    path.write_text(WORKER)
    return path


def silent_for(path: Path, seconds: float) -> None:
    then_s = path.stat().st_mtime - seconds
    os.utime(path, (then_s, then_s))


def test_workers_that_beat_just_now_are_alive_without_their_queue(supervisor: Path, worker: Path) -> None:
    assert main(["health", "--alive"]) == 0
    assert main(["health"]) == 1


def test_a_supervisor_that_has_not_started_is_not_alive(folder: Path) -> None:
    assert main(["health", "--alive"]) == 1


def test_a_worker_whose_beats_stopped_is_not_alive(
    supervisor: Path, worker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent_for(worker, silence_limit_s(settings()) + 1)
    assert main(["health", "--alive"]) == 1
    assert f"{WORKER} has been silent for" in capsys.readouterr().err


def test_a_supervisor_whose_beats_stopped_is_not_alive(
    supervisor: Path, worker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent_for(supervisor, SUPERVISOR_SILENT_S + 1)
    assert main(["health", "--alive"]) == 1
    assert "one has been silent for" in capsys.readouterr().err


def test_a_worker_that_is_being_restarted_does_not_count(supervisor: Path, worker: Path) -> None:
    supervisor.write_bytes(msgspec.json.encode(SupervisorFile(pid=1, workers=[])))
    silent_for(worker, 3600)
    assert main(["health", "--alive"]) == 0
