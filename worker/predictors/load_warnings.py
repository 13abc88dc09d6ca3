"""Warnings of a framework while it opens an artifact, reported with the model."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_MOST = 8
_MOST_CHARACTERS = 300
_OF_VERSIONS = re.compile(r"\b(version|older|newer)\b", re.IGNORECASE)


@dataclass
class Recorded:
    """The distinct warnings in order, each as one line."""

    texts: list[str] = field(default_factory=list)

    @property
    def of_versions(self) -> list[str]:
        """The warnings about another version of a library."""
        return [text for text in self.texts if _OF_VERSIONS.search(text)]


@contextmanager
def recorded_warnings() -> Iterator[Recorded]:
    """Record the warnings of the block, regardless of filters; complete when the block has ended."""
    recorded = Recorded()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield recorded
    lines = dict.fromkeys(_in_one_line(warning) for warning in caught if _matters(warning))
    recorded.texts = list(lines)[:_MOST]


def _matters(warning: warnings.WarningMessage) -> bool:
    """Whether it is about the artifact. Deprecation warnings are for the developers of libraries."""
    return not issubclass(warning.category, DeprecationWarning | PendingDeprecationWarning | ImportWarning)


def _in_one_line(warning: warnings.WarningMessage) -> str:
    words = " ".join(str(warning.message).split())
    return f"{warning.category.__name__}: {words}"[:_MOST_CHARACTERS]
