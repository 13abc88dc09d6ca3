"""Who is measured: a module here is a rival, and says how it is started, called and read.

Each module has a `RIVAL`. One that needs libraries of its own has them in a `requirements.txt`, of which an
environment is made (bench/environments.py); the model's libraries are this program's own for all of them.
"""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from bench.answers import Answer, read_answer, read_answers
from bench.subjects import Subject

DESCRIPTION = "model.json"
"""What a rival finds in its folder: bench.subjects.Description."""


@dataclass(frozen=True)
class Place:
    """What a rival is given: a folder of its own, a loopback port, a Python, the model and its artifact."""

    folder: Path
    port: int
    python: Path
    subject: Subject
    artifact: Path


def as_it_is(request: Mapping[str, object]) -> bytes:
    """A request as JSON, in no wrapping."""
    return json.dumps(request).encode()


@dataclass(frozen=True)
class Rival:
    """One way to serve a model.

    `command` prepares the rival's folder, in which its program then runs, and returns the program's words.
    """

    name: str
    about: str
    command: Callable[[Place], Sequence[str]]
    requirements: Path | None = None  # None: it runs on this program's own Python
    distribution: str | None = None  # whose version is told, of those requirements
    path: str = "/predict"
    many_path: str | None = "/predict"  # of `{"inputs": [[…], …]}`; None: it takes a row at a time only
    body: Callable[[Mapping[str, object]], bytes] = as_it_is
    answer: Callable[[bytes], Answer] = read_answer  # raises ValueError where an answer cannot be read
    answers: Callable[[bytes], list[Answer]] = read_answers  # of many rows; so does this
    parts: Mapping[str, str] = field(default_factory=dict)  # a word of a process' command → the part it is
    timed: bool = False  # answers carry Server-Timing
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    environment: Mapping[str, str] = field(default_factory=dict)  # beside what all are given


def names() -> list[str]:
    """The rivals that there are."""
    return [module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg]


def rival(name: str) -> Rival:
    """Raises ValueError where there is none of this name."""
    if name not in names():
        raise ValueError(f"there is no rival {name!r}; there are: {', '.join(names())}")
    found: Rival = import_module(f"{__name__}.{name}").RIVAL
    return found
