"""The effect of interpreter settings on a worker."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.results import Machine
from bench.stored_runs import decoded, reported
from bench.studies.tuning import SETTINGS, TUNED, main
from bench.studies.tuning_report import Tuned, TuningResults, tuning_report


def tuned(number: int, setting: str, faster: float) -> Tuned:
    return Tuned(number, setting, 1000 * faster, 4.0 / faster, 9.0, 200.0, 0.5)


RESULTS = TuningResults(
    command="python -m bench.studies.tuning",
    began_at="2026-01-02T03:04:05+00:00",
    took_s=60.0,
    machine=Machine(2, "a processor", "Linux 6", 0.5, {"Python": "3.11"}),
    model="iris",
    settings={"as_it_is": "nothing", "gc_frozen": "gc.freeze()"},
    rounds=(
        *(tuned(0, "as_it_is", 1.0), tuned(0, "gc_frozen", 2.0)),
        *(tuned(1, "gc_frozen", 8.0), tuned(1, "as_it_is", 2.0)),
    ),
)


def test_settings_are_compared_within_their_round() -> None:
    [line] = [row for row in tuning_report(RESULTS).splitlines() if " gc_frozen |" in row]
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        *("gc_frozen", "3.0 (2.0-4.0)", "0.38 (0.25-0.50)", "1.0", "1.0", "1.0"),
    ]


def test_a_kept_run_of_settings_is_reported_like_a_new_run() -> None:
    assert reported(decoded(msgspec.json.encode(RESULTS))) == tuning_report(RESULTS)


def test_the_first_setting_is_a_worker_as_it_is() -> None:
    assert next(iter(SETTINGS.values())).environment == {}


def test_an_unknown_setting_is_refused_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--settings", "faster"]) == 1
    assert "unknown setting 'faster'" in capsys.readouterr().err


def test_settings_reach_workers_alone(tmp_path: Path) -> None:
    for program in ("worker", "api"):
        (tmp_path / program).mkdir()
        (tmp_path / program / "__init__.py").touch()  # else the real one, installed, stands before it
        (tmp_path / program / "__main__.py").write_text(
            "import gc, sys; print(sys.getswitchinterval(), gc.get_threshold())"
        )
    told = {"BENCH_SWITCH_INTERVAL_S": "0.5", "BENCH_GC_THRESHOLDS": "50000,20,50"}
    path = os.pathsep.join((str(TUNED), str(tmp_path)))

    def said(*words: str) -> str:
        command = [sys.executable, "-m", *words]
        environment = {**os.environ, **told, "PYTHONPATH": path}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    assert said("worker", "run") == "0.5 (50000, 20, 50)"
    assert said("api") == f"{sys.getswitchinterval()} {gc.get_threshold()}"
