"""Starts the rivals of a model side by side on this machine; all stop when their block ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from bench.environments import Entrant, entrant
from bench.rivals import DESCRIPTION, Rival
from bench.servers import Server, Task, serving
from bench.subjects import Subject, built, describe, right_answer
from stack.process_group import ProcessGroup

Say = Callable[[str], None]


@dataclass(frozen=True)
class Field:
    """The servers by rival, a folder for the files of loads, and the process group of all programs."""

    task: Task
    servers: Mapping[str, Server]
    folder: Path
    leash: ProcessGroup


@contextmanager
def standing(entrants: Sequence[Entrant], subject: Subject, say: Say) -> Iterator[Field]:
    """Start all rivals with the subject's model.

    Raises DidNotStart, WrongAnswer, TaktError, OSError, subprocess.SubprocessError.
    """
    with ExitStack() as held:
        folder = Path(held.enter_context(TemporaryDirectory(prefix="takt-bench-")))
        leash = held.enter_context(closing(ProcessGroup()))
        task = _task(subject, folder)
        servers = {}
        for one in entrants:
            say(f"{subject.name}, {one.rival.name}: {one.rival.about}")
            started = serving(one, folder / one.rival.name, task, leash)
            servers[one.rival.name] = held.enter_context(started)
        yield Field(task, servers, folder, leash)


@contextmanager
def alone(rival: Rival, subject: Subject) -> Iterator[Server]:
    """Start a single rival. Raises the errors of `standing` and `entrant`."""
    with standing([entrant(rival, _unsaid)], subject, _unsaid) as field:
        yield field.servers[rival.name]


def _unsaid(_: str) -> None:
    """Discard progress messages."""


def _task(subject: Subject, folder: Path) -> Task:
    """The subject's model, built, and its correct answer."""
    description = describe(built(subject))
    file = folder / DESCRIPTION
    file.write_bytes(msgspec.json.encode(description))
    return Task(subject, description, right_answer(subject, file))
