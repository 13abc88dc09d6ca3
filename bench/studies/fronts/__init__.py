"""Fronts of the gateway's application: its own, without some of its layers, uvicorn's, and granian's.

Each is a separate gateway on the same queue and worker; `python -m bench.studies.fronts` compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.rivals import Place, Rival

APP = "bench.studies.fronts.app:app"
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def _as_it_is(place: Place) -> Sequence[str]:
    return ["env", f"TAKT_PORT={place.port}", str(place.python), "-m", "api"]


def _without(*layers: str) -> Callable[[Place], Sequence[str]]:
    def command(place: Place) -> Sequence[str]:
        program = [str(place.python), "-m", "bench.studies.fronts.without", *layers]
        return ["env", f"TAKT_PORT={place.port}", *program]

    return command


def _uvicorn(*options: str) -> Callable[[Place], Sequence[str]]:
    quiet = ("--no-server-header", "--no-proxy-headers", "--ws", "none", "--no-access-log")

    def command(place: Place) -> Sequence[str]:
        listen = ("--host", "127.0.0.1", "--port", str(place.port))
        return [str(place.python), "-m", "uvicorn", APP, *listen, *quiet, *options]

    return command


def _granian(*options: str) -> Callable[[Place], Sequence[str]]:
    one = ("--interface", "asgi", "--http", "1", "--no-ws", "--loop", "uvloop", "--log-level", "warning")

    def command(place: Place) -> Sequence[str]:
        listen = ("--host", "127.0.0.1", "--port", str(place.port))
        return [str(place.python), "-m", "granian", *one, *listen, *options, APP]

    return command


_TOOLS = ("--loop", "uvloop", "--http", "httptools")
_H11 = ("--loop", "uvloop", "--http", "h11")
_ASYNCIO = ("--loop", "asyncio", "--http", "httptools")
_ST = ("--runtime-mode", "st")
_MT = ("--runtime-mode", "mt", "--runtime-threads", "2")

FRONTS = (
    Rival("takt", "python -m api: uvicorn with uvloop, httptools and our layers", _as_it_is),
    Rival("timers", "takt, with a timer for each response", _without("shared_timer")),
    Rival("asgi", "takt, without the fast path", _without("fast_path")),
    Rival("two_writes", "asgi, with two writes for each response", _without("fast_path", "whole_answers")),
    Rival("plain", "uvicorn's own protocol: no fast path, no limits", _uvicorn(*_TOOLS)),
    Rival("h11", "plain, --http h11", _uvicorn(*_H11)),
    Rival("asyncio", "plain, --loop asyncio", _uvicorn(*_ASYNCIO)),
    Rival("granian", "granian, one thread for I/O", _granian(*_ST), _REQUIREMENTS, "granian"),
    Rival("granian_mt", "granian, two threads for I/O", _granian(*_MT), _REQUIREMENTS, "granian"),
)


def front(name: str) -> Rival:
    """Return the front of this name. Raises ValueError if it is unknown."""
    for one in FRONTS:
        if one.name == name:
            return one
    raise ValueError(f"unknown front {name!r}; available: {', '.join(one.name for one in FRONTS)}")
