"""How requests are sent: a module here is a load, which is a program that writes what it saw to a file.

Each module has a `LOAD`. So far they are closed loops: a connection sends its next request once the last
one is answered.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path


@dataclass(frozen=True)
class Shot:
    """One use of a load."""

    url: str  # http://127.0.0.1:…
    headers: Mapping[str, str]
    body_file: Path
    log_file: Path  # must not exist; see bench/samples.py for what is written to it
    connections: int
    duration_s: float


@dataclass(frozen=True)
class Load:
    """A program that sends requests. `missing` says why it cannot run here, or None."""

    name: str
    about: str
    missing: Callable[[], str | None]
    command: Callable[[Shot], Sequence[str]]


def names() -> list[str]:
    """The loads that there are, the best first."""
    return sorted(
        (module.name for module in pkgutil.iter_modules(__path__)), key=lambda name: name != "h2load"
    )


def load(name: str) -> Load:
    """Raises ValueError where there is none of this name."""
    if name not in names():
        raise ValueError(f"there is no load {name!r}; there are: {', '.join(names())}")
    found: Load = import_module(f"{__name__}.{name}").LOAD
    return found


def choose(name: str | None) -> Load:
    """The load of this name, else the first that runs here. Raises ValueError where it cannot run."""
    chosen = load(name) if name else next(one for one in map(load, names()) if one.missing() is None)
    if reason := chosen.missing():
        raise ValueError(f"{chosen.name} cannot be used: {reason}")
    return chosen
