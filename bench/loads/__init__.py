"""Load generators: each module defines a `LOAD`, a program that sends requests and logs them to a file.

All are closed loops: a connection sends its next request after the answer to the previous request.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path


@dataclass(frozen=True)
class Shot:
    """Parameters of a run of a load."""

    url: str  # http://127.0.0.1:…
    headers: Mapping[str, str]
    body_file: Path
    log_file: Path  # must not exist; bench/samples.py documents the format
    connections: int
    duration_s: float


@dataclass(frozen=True)
class Load:
    """A program that sends requests. `missing` returns the reason why it cannot run here, or None."""

    name: str
    about: str
    missing: Callable[[], str | None]
    command: Callable[[Shot], Sequence[str]]


def names() -> list[str]:
    """Names of all loads, the preferred load first."""
    return sorted(
        (module.name for module in pkgutil.iter_modules(__path__)), key=lambda name: name != "h2load"
    )


def load(name: str) -> Load:
    """Return the load of this name. Raises ValueError if it is unknown."""
    if name not in names():
        raise ValueError(f"unknown load {name!r}; available: {', '.join(names())}")
    found: Load = import_module(f"{__name__}.{name}").LOAD
    return found


def choose(name: str | None) -> Load:
    """The load of this name, or the first that can run here. Raises ValueError if it cannot run."""
    chosen = load(name) if name else next(one for one in map(load, names()) if one.missing() is None)
    if reason := chosen.missing():
        raise ValueError(f"{chosen.name} cannot be used: {reason}")
    return chosen
