"""The errors in lines of a service's log, in the formats of Takt's programs and of the queue server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_TAKT = re.compile(r'^\S+Z \[(\w+) *\] |^\{.*"level": ?"(\w+)"')
"""A log event of a program of Takt, as text or JSON (`shared/logs.py`)."""
_SERVER = re.compile(r"^\d+:\w .{20,30} ([.\-*#]) ")
"""A line of Redis or Valkey; `#` is a warning or an error."""
_QUIET = frozenset(["debug", "info", ".", "-", "*"])
_CRASH = re.compile(r"^(Traceback|Fatal Python error|\w*(Error|Exception|Exit)\b)")


def errors_in(lines: Iterable[str]) -> Iterator[str]:
    """Yields error events and text outside events, such as a traceback or the last words of a library.

    The further lines of a warning belong to it and are left out with it, up to a traceback.
    """
    wanted = True
    for line in lines:
        level = _level_of(line)
        if level is None:
            wanted = wanted or _CRASH.match(line) is not None
        if level == "warning":
            wanted = False
        elif level in _QUIET:
            wanted = True  # such an event has one line: what follows is no part of it
            continue
        elif level is not None:
            wanted = True
        if wanted:
            yield line


def _level_of(line: str) -> str | None:
    found = _TAKT.match(line) or _SERVER.match(line)
    return next(filter(None, found.groups())) if found else None
