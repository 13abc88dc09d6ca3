"""Who is measured: a module here is a rival, and says how it is started, called and read.

Each module has a `RIVAL`. A rival that needs libraries of its own names that Python in its command.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from bench.answers import Answer


@dataclass(frozen=True)
class Place:
    """What a rival is given: a folder of its own, a loopback port, and the model's artifact."""

    folder: Path
    port: int
    artifact: Path


@dataclass(frozen=True)
class Rival:
    """One way to serve the model.

    `command` prepares the rival's folder, in which its program then runs, and returns the program's words.
    """

    name: str
    about: str
    command: Callable[[Place], Sequence[str]]
    path: str  # of one prediction
    body: bytes
    answer: Callable[[bytes], Answer]  # raises ValueError where an answer cannot be read
    parts: Mapping[str, str] = field(default_factory=dict)  # a word of a process' command → the part it is
    timed: bool = False  # answers carry Server-Timing
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


def names() -> list[str]:
    """The rivals that there are."""
    return [module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg]


def rival(name: str) -> Rival:
    """Raises ValueError where there is none of this name."""
    if name not in names():
        raise ValueError(f"there is no rival {name!r}; there are: {', '.join(names())}")
    found: Rival = import_module(f"{__name__}.{name}").RIVAL
    return found
