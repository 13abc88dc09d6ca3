"""Warnings of a framework while it opens an artifact, reported with the model."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_MOST = 8
_MOST_CHARACTERS = 300
_OF_VERSIONS = re.compile(r"\b(version|older|newer)\b", re.IGNORECASE)


@dataclass
class Recorded:
    """The distinct warnings in order, each on a single line."""

    texts: list[str] = field(default_factory=list)

    @property
    def of_versions(self) -> list[str]:
        """The warnings about another version of a library."""
        return [text for text in self.texts if _OF_VERSIONS.search(text)]


@contextmanager
def recorded_warnings() -> Iterator[Recorded]:
    """Record the warnings of the block, regardless of filters; complete when the block has ended.

    Python's filters apply to the whole process. Warnings of other threads, such as the engine's, are dropped
    during the block and shown when they occur again.
    """
    recorded, lines, own_thread = Recorded(), dict[str, None](), threading.get_ident()

    def record(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        if threading.get_ident() == own_thread and _matters(category):
            lines[_in_one_line(message, category)] = None

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = record
        yield recorded
    recorded.texts = list(lines)[:_MOST]


def _matters(category: type[Warning]) -> bool:
    """Whether it is about the artifact. Deprecation warnings are for the developers of libraries."""
    return not issubclass(category, DeprecationWarning | PendingDeprecationWarning | ImportWarning)


def _in_one_line(message: Warning | str, category: type[Warning]) -> str:
    words = " ".join(str(message).split())
    return f"{category.__name__}: {words}"[:_MOST_CHARACTERS]
