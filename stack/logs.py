"""The parts' logs: each part writes its own file, and the stack keeps it within a bound.

The parts hold the files themselves, so that a stopped or killed `takt up` never blocks them; a file that
grew past the bound is copied aside and emptied, which appending writers do not notice.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

LOG_BYTES = 8 * 2**20
"""The bound of one part's log; as much again of what went before is kept beside it as `<part>.log.1`."""


@dataclass(frozen=True)
class Log:
    """One part's log."""

    path: Path
    bound_bytes: int = LOG_BYTES

    def open(self) -> BinaryIO:
        """For a part to append to."""
        return self.path.open("ab")

    def size_bytes(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def bound(self) -> None:
        """Put the log aside once it is over its bound. A few lines written meanwhile may be lost."""
        if self.size_bytes() > self.bound_bytes:
            shutil.copyfile(self.path, self.path.with_suffix(".log.1"))
            with self.path.open("r+b") as file:
                file.truncate(0)

    def last_lines(self, count: int, *, since_bytes: int = 0) -> list[str]:
        """The last lines, of those written after the file was `since_bytes` long."""
        size = self.size_bytes()
        start = since_bytes if since_bytes <= size else 0  # put aside since then
        with self.path.open("rb") as file:
            file.seek(max(start, size - 64 * 1024))
            text = file.read().decode(errors="replace")
        return [line for line in text.splitlines() if line.strip()][-count:]
