"""Keeps the output lines of a command apart from anything that a model's code prints.

A model may write to standard output in any way: `print`, `os.write(1, …)`, C code, a thread, a child process.
So the lines use a descriptor of their own: that of the caller, or a copy of standard output. In
the second case the model's output goes to standard error.
"""

from __future__ import annotations

import os

import msgspec


class CommandLines:
    """Writes one JSON document per line. Create it before any code of a model runs."""

    def __init__(self, descriptor: int | None) -> None:
        self._writes_begin = descriptor is not None
        if descriptor is None:
            descriptor = os.dup(1)
            os.dup2(2, 1)
        os.set_inheritable(descriptor, False)  # child processes of a model do not inherit it
        self._file = os.fdopen(descriptor, "wb", buffering=0)

    def begin(self, model: str, version: str) -> None:
        """Write a line before work on a model begins, so that a caller knows which model ended the
        process."""
        if self._writes_begin:
            self.write({"model": model, "version": version, "state": "begun"})

    def write(self, line: dict[str, object]) -> None:
        self._file.write(msgspec.json.encode(line) + b"\n")
