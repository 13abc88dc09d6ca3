"""The liveness probe asks no server: a worker is alive as long as its heartbeat runs, in any state."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.settings import settings
from worker.__main__ import ALIVE_MARGIN_S, main


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The id file of this host's worker."""
    monkeypatch.setenv("TAKT_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("TAKT_WORKER_NAME", "one")
    monkeypatch.setenv("TAKT_REDIS_URL", "redis://127.0.0.1:1/0")  # no server listens there
    settings.cache_clear()
    yield tmp_path / "worker-one.id"
    settings.cache_clear()


def test_a_worker_that_beat_just_now_is_alive_without_its_queue(mark: Path) -> None:
    mark.write_text("one:1")
    assert main(["health", "--alive"]) == 0
    assert main(["health"]) == 1


def test_a_worker_that_has_not_started_is_not_alive(mark: Path) -> None:
    assert main(["health", "--alive"]) == 1


def test_a_worker_whose_beats_stopped_is_not_alive(mark: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark.write_text("one:1")
    long_ago_s = mark.stat().st_mtime - settings().batch_limit_s - ALIVE_MARGIN_S - 1
    os.utime(mark, (long_ago_s, long_ago_s))
    assert main(["health", "--alive"]) == 1
    assert "one:1 has been silent for" in capsys.readouterr().err
