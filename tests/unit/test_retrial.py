"""What fails once has a second trial by itself, and everybody hears of it; what fails twice fails."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.retrial import MOST, main
from tests.support.stack import ROOT

FLAKY = """
from pathlib import Path

def test_sound():
    pass

def test_flaky():
    seen = Path("seen")
    fails = not seen.exists()
    seen.touch()
    assert not fails
"""


class Trials:
    """Runs of pytest with these exit statuses, in which these tests fail."""

    def __init__(self, folder: Path, *statuses: int, failing: int = 1) -> None:
        self.cache = folder / "lastfailed"
        self.cache.write_text('{"tests/old.py::test_of_another_run": true}')
        self._statuses = list(statuses)
        self._names = [f"tests/test_it.py::test_{n}" for n in range(failing)]
        self.words: list[list[str]] = []
        self.said = ""

    def __call__(self, words: Sequence[str]) -> int:
        self.words.append(list(words))
        self.cache.write_text(json.dumps(dict.fromkeys(self._names, True)))
        return self._statuses.pop(0)

    def status(self) -> int:
        return main(["--cov", "-m", "faults"], self, self.cache, self.hear)

    def hear(self, words: str) -> None:
        self.said += words


def test_what_fails_twice_fails(tmp_path: Path) -> None:
    trials = Trials(tmp_path, 1, 1)
    assert trials.status() == 1
    assert "FAILED TWICE" in trials.said


def test_what_passes_at_its_second_trial_is_named_loudly(tmp_path: Path) -> None:
    trials = Trials(tmp_path, 1, 0, failing=2)
    assert trials.status() == 0
    assert "FLAKY" in trials.said
    assert trials.said.count("tests/test_it.py::test_1") == 2
    assert "--last-failed" in trials.words[1]
    assert trials.words[1][:2] == ["-m", "faults"]


@pytest.mark.parametrize("status", [0, 2, 3, 4, 5])
def test_only_failed_tests_have_a_second_trial(tmp_path: Path, status: int) -> None:
    trials = Trials(tmp_path, status)
    assert trials.status() == status
    assert (len(trials.words), trials.said) == (1, "")


def test_where_many_fail_there_is_no_second_trial(tmp_path: Path) -> None:
    trials = Trials(tmp_path, 1, failing=MOST + 1)
    assert trials.status() == 1
    assert len(trials.words) == 1


def test_pytest_runs_only_what_failed_once_more(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(FLAKY)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    ran = subprocess.run(
        [sys.executable, "-m", "tests.retrial", "test_it.py", "-p", "xdist", "--numprocesses", "0"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stdout
    assert "1 failed, 1 passed" in ran.stdout
    assert "!!   test_it.py::test_flaky" in ran.stdout
    assert "test_it.py::test_flaky PASSED" in ran.stdout
    assert "test_it.py::test_sound PASSED" not in ran.stdout.partition("SECOND TRIAL")[2]
