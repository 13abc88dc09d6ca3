"""Commands of `python -m worker`: their command lines, their runs in an environment, and their output.

The output lines of a command are separate from anything that a model's code prints. A model may write to
standard output in any way: `print`, `os.write(1, …)`, C code, a thread, a child process. So the lines use a
descriptor of their own: that of the caller, or a copy of standard output. In the second case the model's
output goes to standard error.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shared.environments import own_environment
from shared.errors import ArtifactError
from shared.exit_status import ending

if TYPE_CHECKING:
    from worker.environments.creation import Environment


_LAUNCHER = Path(__file__).with_name("launch.py")
_HIDDEN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Variables that would bring packages of another environment."""


def worker_command(*arguments: str) -> list[str]:
    """The command line of `python -m worker` with the interpreter of this process."""
    return command_in(Path(sys.executable), *arguments) if own_environment() else own_command(*arguments)


def own_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "worker", *arguments]


def command_in(python: Path, *arguments: str) -> list[str]:
    """The command line of `python -m worker` with the interpreter of an environment."""
    return [str(python), "-s", str(_LAUNCHER), *arguments]


def variables_in_environment() -> dict[str, str]:
    """The environment variables of a process with the interpreter of an environment."""
    return {name: value for name, value in os.environ.items() if name not in _HIDDEN}


def last_line(environment: Environment, arguments: Sequence[str]) -> dict[str, object]:
    """Run a command on a model in its environment. → its last JSON line.

    What the model's code prints goes to the standard output of this process. Raises ArtifactError if the
    process ends without a line.
    """
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as lines:
        try:
            process = subprocess.Popen(  # noqa: S603 - starts this project's own program
                command_in(environment.python, *arguments, "--lines-to", str(write_end)),
                env=variables_in_environment(),
                pass_fds=(write_end,),
            )
        finally:
            os.close(write_end)
        found = [msgspec.json.decode(line, type=dict[str, object]) for line in lines]
    status = process.wait()
    if not found or found[-1]["state"] == "begun":
        raise ArtifactError(f"the process in environment {environment.name} {ending(status)}")
    return found[-1]


class CommandLines:
    """Writes a JSON document per line. Create it before any code of a model runs."""

    def __init__(self, descriptor: int | None) -> None:
        self._writes_begin = descriptor is not None
        if descriptor is None:
            descriptor = os.dup(1)
            os.dup2(2, 1)
        os.set_inheritable(descriptor, False)  # child processes of a model do not inherit it
        self._file = os.fdopen(descriptor, "wb", buffering=0)

    def begin(self, model: str, version: str) -> None:
        """Write a line before work on a model begins, so that a caller can name the model that ended the
        process."""
        if self._writes_begin:
            self.write({"model": model, "version": version, "state": "begun"})

    def write(self, line: dict[str, object]) -> None:
        self._file.write(msgspec.json.encode(line) + b"\n")
