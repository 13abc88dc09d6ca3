"""Rivals: each module defines a `RIVAL` with its start command, its requests and its answers.

A rival with its own libraries lists them in a `requirements.txt`, from which an environment is built
(bench/environments.py). All rivals share the model's libraries of this program.
"""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

from bench.answers import Answer, read_answer, read_answers
from bench.subjects import Subject

DESCRIPTION = "model.json"
"""File in a rival's folder with a bench.subjects.Description."""


@dataclass(frozen=True)
class Place:
    """Resources of a rival: its own folder, a loopback port, a Python, the model and its artifact."""

    folder: Path
    port: int
    python: Path
    subject: Subject
    artifact: Path


def as_it_is(request: Mapping[str, object]) -> bytes:
    """A request as plain JSON."""
    return json.dumps(request).encode()


@dataclass(frozen=True)
class Rival:
    """A way to serve a model.

    `command` prepares the rival's folder, the program's working directory, and returns the command line.
    """

    name: str
    about: str
    command: Callable[[Place], Sequence[str]]
    requirements: Path | None = None  # None: runs on this program's Python
    distribution: str | None = None  # the requirement whose version is reported
    path: str = "/predict"
    many_path: str | None = "/predict"  # path for `{"inputs": [[…], …]}`; None: single rows only
    body: Callable[[Mapping[str, object]], bytes] = as_it_is
    answer: Callable[[bytes], Answer] = read_answer  # raises ValueError for an invalid answer
    answers: Callable[[bytes], list[Answer]] = read_answers  # for many rows; raises ValueError, too
    parts: Mapping[str, str] = field(default_factory=dict)  # part by a word of its command line
    timed: bool = False  # answers have Server-Timing
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    environment: Mapping[str, str] = field(default_factory=dict)  # in addition to the common variables

    def of_model(self, model: str) -> Rival:
        """The rival with the model's name in place of `{model}` in its paths."""
        many_path = self.many_path.replace("{model}", model) if self.many_path else None
        return replace(self, path=self.path.replace("{model}", model), many_path=many_path)


def names() -> list[str]:
    """Names of all rivals."""
    return [module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg]


def rival(name: str) -> Rival:
    """Return the rival of this name. Raises ValueError if it is unknown."""
    if name not in names():
        raise ValueError(f"unknown rival {name!r}; available: {', '.join(names())}")
    found: Rival = import_module(f"{__name__}.{name}").RIVAL
    return found
