"""A terminal for the documents' commands, which run unchanged in the folder of a clone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.documents import ROOT
from tests.support.polling import eventually

SERVING = "press Ctrl-C to stop"
STARTS_S = 300.0
"""Time limit of a command on a busy machine."""
ENDS_S = 60.0
_OF_THE_DOCUMENTS = "localhost:8000"


class Terminal:
    """A folder with the structure of a clone and its `.venv`, and a port that replaces 8000."""

    def __init__(self, folder: Path, port: int, **settings: str) -> None:
        self.folder = folder
        self._port = port
        settings |= {"port": str(port)}
        outer = {name: value for name, value in os.environ.items() if not name.startswith("TAKT_")}
        self._environment = outer | {
            **{f"TAKT_{name.upper()}": value for name, value in settings.items()},
            "TAKT_URL": f"http://127.0.0.1:{port}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "client")]),
            "COLUMNS": "200",
        }
        (folder / ".venv").symlink_to(sys.prefix)

    def types(self, command: str) -> str:
        """Run a command and return its output. Raises AssertionError if it fails."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._here(command)],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=STARTS_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def serving(self, command: str) -> Iterator[None]:
        """Run `takt up` beside the block, which begins when it serves. Ctrl-C ends it after the block."""
        printed = self.folder / "takt_up.out"
        with printed.open("w") as out:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {self._here(command)}"],
                cwd=self.folder,
                env=self._environment,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

        def serves() -> bool:
            assert process.poll() is None, printed.read_text()
            return SERVING in printed.read_text()

        try:
            eventually(serves, limit_s=STARTS_S, every_s=0.2)
            yield
        except BaseException:
            print(printed.read_text())  # noqa: T201 - pytest shows it with the failure
            raise
        finally:
            _press_ctrl_c(process)

    def _here(self, command: str) -> str:
        return command.replace(_OF_THE_DOCUMENTS, f"127.0.0.1:{self._port}")


def _press_ctrl_c(process: subprocess.Popen[bytes]) -> None:
    """Press Ctrl-C until it ends; at the second Ctrl-C `takt up` ends immediately."""
    for _ in range(3):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=ENDS_S)
    if process.poll() is None:
        process.kill()
