"""The latest log events of a process, kept for operators who cannot read its log.

An event is kept as it is written: after credentials are removed and long fields are cut (`shared/logs.py`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec
from structlog.typing import EventDict, WrappedLogger

MOST_EVENTS = 100
"""Limits of the kept events of level warning and above, and of the events below. They are separate, so that
many events of level info remove no error."""
MOST_KEPT_CHARS = 4000
"""Limit of a field: large enough for the end of a traceback."""
SEVERE = frozenset({"warning", "error", "critical"})
_HEAD = ("timestamp", "level", "event", "logger")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s'\"]*@")


class LogLevel(StrEnum):
    """The levels of log events, in their order."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    def includes(self, level: str) -> bool:
        """Whether events of a level are at least of this one; unknown levels are included."""
        order = list(LogLevel)
        return level not in order or order.index(LogLevel(level)) >= order.index(self)


Scalar: TypeAlias = str | int | float | bool | None


class LogEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a process's log."""

    at: str  # UTC, RFC 3339
    level: str
    event: str
    logger: str = ""
    fields: dict[str, Scalar] = {}


class RecentEvents:
    """The latest events of each kind. Any thread adds and reads them."""

    def __init__(self, most: int = MOST_EVENTS) -> None:
        self._severe = deque[LogEvent](maxlen=most)
        self._other = deque[LogEvent](maxlen=most)

    def keep(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """A processor of structlog: keeps the event and returns it unchanged."""
        kept = _kept(event)
        (self._severe if kept.level in SEVERE else self._other).append(kept)
        return event

    def newest(self) -> list[LogEvent]:
        """The kept events in order of time."""
        return sorted((*self._severe.copy(), *self._other.copy()), key=lambda event: event.at)


RECENT_EVENTS = RecentEvents()
"""Those of this process, and, in a fork, of its parent before the fork."""


def _kept(event: Mapping[str, object]) -> LogEvent:
    at, level, name, logger = (str(event.get(part) or "") for part in _HEAD)
    fields = {key: _scalar(value) for key, value in event.items() if key not in _HEAD}
    return LogEvent(at=at, level=level, event=str(_scalar(name)), logger=logger, fields=fields)


def _scalar(value: object) -> Scalar:
    """The value, or its text, without references to the objects of a call."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= MOST_KEPT_CHARS else f"…{text[-MOST_KEPT_CHARS:]}"


def without_credentials(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A processor of structlog: removes user and password from URLs, such as those in errors of libraries."""
    for name, value in event.items():
        if isinstance(value, str) and "://" in value and "@" in value:
            event[name] = _CREDENTIALS.sub("…@", value)
    return event
