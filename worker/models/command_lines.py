"""The lines that a command gives, apart from whatever a model prints while its code runs.

A model may write to standard output in any way: `print`, `os.write(1, …)`, C code, a thread, a child process.
So lines have a descriptor of their own: the one that the caller names, else the standard output as it was,
and then what a model writes there goes to standard error.
"""

from __future__ import annotations

import os

import msgspec


class CommandLines:
    """Writes one JSON document a line. Made before any code of a model runs."""

    def __init__(self, descriptor: int | None) -> None:
        self._tells_begin = descriptor is not None
        if descriptor is None:
            descriptor = os.dup(1)
            os.dup2(2, 1)
        os.set_inheritable(descriptor, False)  # no process that a model starts has it
        self._file = os.fdopen(descriptor, "wb", buffering=0)

    def begin(self, model: str, version: str) -> None:
        """For a caller that must know which model ended this process."""
        if self._tells_begin:
            self.write({"model": model, "version": version, "state": "begun"})

    def write(self, line: dict[str, object]) -> None:
        self._file.write(msgspec.json.encode(line) + b"\n")
