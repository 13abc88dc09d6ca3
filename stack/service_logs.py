"""The services' logs: each service writes its own file, and the stack limits its size.

Services open the files themselves, so that a stopped or killed `takt up` never blocks them. A file above the
limit is copied and truncated, which does not disturb writers that append. `errors_in` finds the errors among
the lines of a log, in the formats of Takt's programs and of the queue server.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_SEARCHED_LINES = 200

LOG_BYTES = 8 * 2**20
"""Maximum size of a log. The previous log, of the same size, is kept as `<service>.log.1`."""


@dataclass(frozen=True)
class Log:
    """The log of a service."""

    path: Path
    bound_bytes: int = LOG_BYTES

    def open(self) -> BinaryIO:
        """Open the log for appending."""
        return self.path.open("ab")

    def size_bytes(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def bound(self) -> None:
        """Rotate the log if it exceeds its limit. A few lines written meanwhile may be lost."""
        if self.size_bytes() > self.bound_bytes:
            shutil.copyfile(self.path, self.path.with_suffix(".log.1"))
            with self.path.open("r+b") as file:
                file.truncate(0)

    def last_lines(self, count: int, *, since_bytes: int = 0) -> list[str]:
        """Returns the last lines among those written after offset `since_bytes`."""
        size = self.size_bytes()
        start = since_bytes if since_bytes <= size else 0  # rotated since then
        with self.path.open("rb") as file:
            file.seek(max(start, size - 64 * 1024))
            text = file.read().decode(errors="replace")
        return [line for line in text.splitlines() if line.strip()][-count:]

    def last_errors(self, count: int, *, since_bytes: int = 0) -> list[str]:
        """Returns the last lines that report an error among the last `_SEARCHED_LINES`."""
        return list(errors_in(self.last_lines(_SEARCHED_LINES, since_bytes=since_bytes)))[-count:]


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
