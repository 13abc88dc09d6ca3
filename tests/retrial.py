"""Runs pytest, then the failed tests again: `python -m tests.retrial ARGUMENTS`, with pytest's arguments.

Tests here start servers and kill them, and share two cores with other tests. A test that fails again when all
others are done fails for good. A test that passes then is named in the last lines: repair it. If
more than a few fail, there is no second trial.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

MOST = 5
"""So many tests may have a second trial."""
_FAILED = Path(".pytest_cache/v/cache/lastfailed")
_ALONE = ("--last-failed", "--last-failed-no-failures", "none", "--numprocesses", "0", "-v")

Run = Callable[[Sequence[str]], int]


def main(words: Sequence[str], run: Run, failed: Path = _FAILED, say: Callable[[str], None] = print) -> int:
    """The exit status of the last trial."""
    failed.unlink(missing_ok=True)  # of tests that this run leaves out
    status = run(words)
    if status != pytest.ExitCode.TESTS_FAILED or not failed.exists():
        return status
    names = list(json.loads(failed.read_text(encoding="utf-8")))
    if len(names) > MOST:
        say(_banner(f"{len(names)} TESTS FAILED: too many for a second trial", names))
        return status
    say(_banner("SECOND TRIAL, of what failed and by itself", names))
    status = run([*(word for word in words if not word.startswith("--cov")), *_ALONE])
    say(
        _banner(
            "FAILED TWICE" if status else "FLAKY: failed, and passed at the second trial. Mend them", names
        )
    )
    return status


def _banner(words: str, names: Sequence[str]) -> str:
    line = "!" * 100
    return "\n".join(["", line, f"!! {words}:", *(f"!!   {name}" for name in names), line])


def _pytest(words: Sequence[str]) -> int:
    with subprocess.Popen([sys.executable, "-m", "pytest", *words]) as running:
        # a terminal's Ctrl-C reaches pytest by itself, which then ends the servers that it has started
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: running.terminate())
        return running.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], _pytest))
