"""A program that writes result lines to a dedicated descriptor, separate from its standard output."""

from __future__ import annotations

import os
import selectors
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import BinaryIO, Self

LINES_TO = "{lines_to}"
"""Placeholder in the command for the descriptor's number."""
_LOOK_EVERY_S = 0.2
_READ_BYTES = 65_536
_MOST_CHARACTERS = 2000
"""Maximum length of a line of output."""


class LineProcess:
    """Runs a command. Its standard input is empty, so that it cannot wait for input."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        settings: Mapping[str, str],
        errors: BinaryIO,
        group: int | None,
        on_output: Callable[[str], None],
    ) -> None:
        self._lines, write_end = os.pipe()
        try:
            self._process = subprocess.Popen(
                [str(write_end) if word == LINES_TO else word for word in command],
                env={**settings, "PYTHONUNBUFFERED": "1"},  # output is shown immediately
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=[write_end],
                process_group=group,
            )
        finally:
            os.close(write_end)
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        self._on_output = on_output
        self._rest = {self._lines: b"", self._output: b""}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        os.close(self._lines)

    @property
    def code(self) -> int:
        """Waits for the program and returns its exit code."""
        return self._process.wait()

    def lines(self) -> Iterator[bytes]:
        """Yields the lines until the program ends. Children that it leaves running do not delay the end."""
        with selectors.DefaultSelector() as selector:
            for descriptor in self._rest:
                selector.register(descriptor, selectors.EVENT_READ)
            while selector.get_map():
                ended = self._process.poll() is not None
                ready = selector.select(0 if ended else _LOOK_EVERY_S)
                for key, _ in ready:
                    yield from self._taken(selector, key.fd)
                if ended and not ready:
                    break
        self._show(self._rest[self._output])

    def _taken(self, selector: selectors.BaseSelector, descriptor: int) -> Iterator[bytes]:
        data = os.read(descriptor, _READ_BYTES)
        if not data:
            selector.unregister(descriptor)
        *whole, rest = (self._rest[descriptor] + data).split(b"\n")
        if descriptor == self._lines:
            yield from whole
        else:
            for line in whole:
                self._show(line)
            if len(rest) > _READ_BYTES:  # a line without an end
                self._show(rest)
                rest = b""
        self._rest[descriptor] = rest

    def _show(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]  # a progress bar's last state
        visible = "".join(letter if letter.isprintable() or letter == "\t" else "\ufffd" for letter in text)
        if visible.strip():
            self._on_output(visible[:_MOST_CHARACTERS])
