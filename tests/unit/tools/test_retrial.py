"""A test that fails is run again alone, and reported if it then passes; a test that fails twice fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.retrial import MOST, main
from tests.support.polling import eventually
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


ENDLESS = """
import time
from pathlib import Path
import pytest

@pytest.fixture
def server():
    yield
    Path("ending").touch()
    time.sleep(1)
    Path("ended").touch()

def test_endless(server):
    Path("started").touch()  # not in the fixture: interrupted before its `yield`, it has no end
    time.sleep(100)
"""


class Trials:
    """Fake runs of pytest with these exit codes and failed tests."""

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


def test_a_test_that_fails_twice_fails(tmp_path: Path) -> None:
    trials = Trials(tmp_path, 1, 1)
    assert trials.status() == 1
    assert "FAILED TWICE" in trials.said


def test_a_test_that_passes_at_its_second_trial_is_reported(tmp_path: Path) -> None:
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


def test_if_many_tests_fail_there_is_no_second_trial(tmp_path: Path) -> None:
    trials = Trials(tmp_path, 1, failing=MOST + 1)
    assert trials.status() == 1
    assert len(trials.words) == 1


def test_pytest_reruns_only_the_failed_tests(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(FLAKY)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    with started(tmp_path) as program:
        said, _ = program.communicate(timeout=100)
    assert program.returncode == 0, said
    assert "1 failed, 1 passed" in said
    assert "!!   test_it.py::test_flaky" in said
    assert "test_it.py::test_flaky PASSED" in said
    assert "test_it.py::test_sound PASSED" not in said.partition("SECOND TRIAL")[2]


def test_ctrl_c_lets_pytest_run_the_fixtures_cleanup(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(ENDLESS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    with started(tmp_path) as program:
        eventually((tmp_path / "started").exists, limit_s=60)
        eventually(lambda: _ends_by_ctrl_c(program, tmp_path / "ending"), limit_s=90)
        said, _ = program.communicate(timeout=100)
    assert program.returncode == pytest.ExitCode.INTERRUPTED, said
    assert (tmp_path / "ended").exists()


def _ends_by_ctrl_c(program: subprocess.Popen[str], ending: Path) -> bool:
    """Press, and wait a while: Python may swallow the first, in a destructor for instance. Once the fixture's
    end has begun, another press would interrupt that."""
    os.killpg(program.pid, signal.SIGINT)
    for _ in range(100):
        if ending.exists() or program.poll() is not None:
            return True
        time.sleep(0.2)
    return False


def started(folder: Path) -> subprocess.Popen[str]:
    """Start the program on a folder's test file in its own process group, like a shell."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.retrial", "test_it.py", "-p", "xdist", "--numprocesses", "0"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # a shell's background job ignores SIGINT, and so would all that it starts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one thread
    )
