"""Incremental parsers for lines, rows and server-sent events. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from takt.decoding import progress_of
from takt.errors import NotTakt
from takt.records import Json, Progress


class Lines:
    """Splits at line feeds only, because JSON strings may contain Python's other line separators."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Returns the lines that this piece completes."""
        *complete, begun = piece.split(b"\n")
        if complete:
            complete[0] = b"".join([*self._begun, complete[0]])
            self._begun.clear()
        if begun:
            self._begun.append(begun)
        return complete

    def rest(self) -> list[bytes]:
        """Returns the last line if it has no line end."""
        line = b"".join(self._begun)
        return [line] if line else []


def rows_of(lines: Iterable[bytes]) -> Iterator[Json]:
    """Yields a row for each line. Raises NotTakt."""
    for line in lines:
        if line.strip():
            yield _object(line)


@dataclass(frozen=True)
class Event:
    """A job's progress, and the Last-Event-ID that continues the stream after it."""

    id: str
    progress: Progress


class Events:
    """Parses server-sent events as defined by the HTML standard; skips events without progress."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._id = ""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[Event]:
        """Yields the events that this piece completes. Raises NotTakt."""
        for line in self._lines.feed(piece):
            yield from self._take(line.removesuffix(b"\r"))

    def _take(self, line: bytes) -> Iterator[Event]:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"id":
            self._id = value.decode()
        elif name == b"data":
            self._data.append(value)
        elif not line and self._data:
            found = _object(b"\n".join(self._data))
            self._data.clear()
            if "state" in found:
                yield Event(self._id, progress_of(found))


def _object(text: bytes) -> Json:
    try:
        found: object = json.loads(text)
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    raise NotTakt("the lines of the response are not JSON objects")
