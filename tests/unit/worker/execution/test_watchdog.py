"""The watchdog ends a process that makes no progress, even while no Python can run."""

from __future__ import annotations

import subprocess
import sys

import pytest

HANGS = {
    "sleeping": "time.sleep(60)",
    "holding the GIL": "ctypes.PyDLL(None).sleep(60)",  # PyDLL keeps the GIL during the call
}
PROGRAM = """
import ctypes, time
from worker.execution.watchdog import Watchdog
import structlog
structlog.configure(processors=[structlog.processors.JSONRenderer()])
watchdog = Watchdog(limit_s={limit_s})
watchdog.progress(time.monotonic())
{hang}
"""


@pytest.mark.parametrize("hang", HANGS.values(), ids=HANGS)
def test_a_process_that_hangs_is_ended_and_says_where(hang: str) -> None:
    program = [sys.executable, "-c", PROGRAM.format(hang=hang, limit_s=0.2)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    assert "<string>" in ended.stderr


def test_a_process_that_is_disarmed_lives() -> None:
    program = PROGRAM.format(hang="watchdog.disarm(); time.sleep(1.5)", limit_s=0.2)
    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=False).returncode == 0


def test_progress_keeps_a_process_alive_past_its_limit() -> None:
    hang = "\n".join(
        ["end = time.monotonic() + 4", "while time.monotonic() < end: watchdog.progress(time.monotonic())"]
    )
    program = PROGRAM.format(hang=hang, limit_s=2.0)  # a busy machine may stall for less than that
    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=False).returncode == 0


def test_before_a_process_is_ended_the_log_names_the_limit_and_its_setting() -> None:
    program = PROGRAM.format(hang="time.sleep(60)", limit_s=0.5)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "no progress within 0.5 s, the limit of one model call (TAKT_BATCH_LIMIT_S)" in ended.stdout
    assert ended.stdout.count("model_call_over_limit") == 1


LOADS = PROGRAM.replace("limit_s={limit_s})", "limit_s={limit_s}, is_loading=lambda: True)")


def test_while_models_load_time_in_which_no_python_runs_does_not_count() -> None:
    hang = "ctypes.PyDLL(None).sleep(4); watchdog.disarm()"
    program = LOADS.format(hang=hang, limit_s=1.0)
    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=False).returncode == 0


def test_while_models_load_a_call_that_hangs_ends_its_process_all_the_same() -> None:
    program = LOADS.format(hang="time.sleep(60)", limit_s=0.5)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "<string>" in ended.stderr
    assert ended.stdout.count("model_call_over_limit") == 1
