"""Running rivals: start, check, observation and stop.

A process group (stack/process_group.py) ends the servers and loads when this program ends for any reason.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.answers import Answer
from bench.calls import Caller, NoAnswer
from bench.environments import Entrant
from bench.processes import Usage, usage_of
from bench.rivals import DESCRIPTION, Place, Rival
from bench.subjects import ROOT, Description, Subject
from shared.settings import environment
from stack.process_group import ProcessGroup
from stack.service_logs import Log
from stack.valkey import free_port

START_LIMIT_S = 90.0
STOP_LIMIT_S = 25.0
QUIET_LIMIT_S = 20.0
_QUIET_CORES = 0.3
_LOOK_S = 0.25


class DidNotStart(Exception):
    """A rival ended or did not answer in time; contains its last output."""


@dataclass(frozen=True)
class Task:
    """The common task of all rivals: a model, and the correct answer to its subject's row."""

    subject: Subject
    description: Description
    right: Answer


class Server:
    """A rival's process, and a connection for checks."""

    def __init__(self, rival: Rival, place: Place, right: Answer, process: subprocess.Popen[bytes]) -> None:
        self.rival = rival
        self.place = place
        self.right = right
        self._process = process

    @property
    def body(self) -> bytes:
        """The body of each request of a load: the subject's row."""
        return self.rival.body(self.place.subject.row)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.place.port}{self.rival.path}"

    def check(self) -> None:
        """Get a correct answer, after all queued requests. Raises the errors of `Caller.call`."""
        caller = self.caller()
        try:
            caller.call()
        finally:
            caller.close()

    def caller(self) -> Caller:
        """Open a separate connection."""
        return Caller(self.rival, self.place.port, self.body, self.right)

    def usage(self) -> Usage:
        return usage_of(self._process.pid, self.rival.parts)

    def quiet_down(self) -> None:
        """Wait until the server has finished work for disconnected clients, before another rival's turn."""
        limit_s = time.monotonic() + QUIET_LIMIT_S
        while time.monotonic() < limit_s:
            before = self.usage()
            time.sleep(_LOOK_S)
            if sum(self.usage().cores_since(before, _LOOK_S).values()) < _QUIET_CORES:
                return

    def wait_ready(self, log: Log) -> None:
        """Wait for a correct answer. Raises DidNotStart, WrongAnswer."""
        limit_s = time.monotonic() + START_LIMIT_S
        while time.monotonic() < limit_s and self._process.poll() is None:
            with contextlib.suppress(NoAnswer, OSError, http.client.HTTPException):
                self.check()
                return
            time.sleep(_LOOK_S)
        words = "\n    ".join(log.last_lines(12))
        raise DidNotStart(f"{self.rival.name} does not answer. Last output:\n    {words}")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def serving(entrant: Entrant, folder: Path, task: Task, leash: ProcessGroup) -> Iterator[Server]:
    """Start a rival, wait until it answers, and stop it after the block. Raises DidNotStart, WrongAnswer."""
    rival = entrant.rival.of_model(task.subject.name)
    folder.mkdir()
    (folder / DESCRIPTION).write_bytes(msgspec.json.encode(task.description))
    place = Place(folder, free_port(), entrant.python, task.subject, Path(task.description.artifact))
    log = Log(folder / "server.log")
    with log.open() as output:
        process = subprocess.Popen(
            rival.command(place),
            cwd=folder,
            env=plain_environment(environment({})) | _paths(folder) | dict(rival.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=leash.group,
        )
    server = Server(rival, place, task.right, process)
    try:
        server.wait_ready(log)
        yield server
    finally:
        server.stop()


def plain_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Environment of every rival: a single thread for a model call, and no Takt settings."""
    kept = {name: value for name, value in inherited.items() if not name.startswith("TAKT_")}
    return kept | {"OMP_NUM_THREADS": "1"}


def _paths(folder: Path) -> dict[str, str]:
    """PYTHONPATH of a rival's program: bench.served_model and its own folder."""
    client = str(ROOT / "client")
    return {"PYTHONPATH": os.pathsep.join((str(ROOT), client)), "BENCH_FOLDER": str(folder)}


def run_within(command: Sequence[str], folder: Path, leash: ProcessGroup, limit_s: float) -> str:
    """Run a program to its end in the process group, and return its output.

    Raises subprocess.CalledProcessError, and TimeoutExpired after ending a late program.
    """
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=leash.group,
    ) as process:
        try:
            output, _ = process.communicate(timeout=limit_s)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return output
