"""Log events on stderr: a name and fields, for a person (`console`) or a collector (`json`).

Inputs and secrets are never fields. Warnings, and events of libraries that use `logging`, have the same form.
Events during a request or a chunk contain its ids (`structlog.contextvars`).
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.contextvars import merge_contextvars
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.recent_events import RECENT_EVENTS, without_credentials
from shared.settings import Settings

_NOISY = (
    "httpx",
    "kombu",
    "celery.redirected",
    "celery.worker.strategy",
    "celery.app.trace",
    "uvicorn.access",
)

MOST_FIELD_CHARS = 16 * 2**10
MOST_FIELD_ITEMS = 100
"""Limits of an event's field: large enough for a traceback, not for a client's body."""


def configure_logging(settings: Settings) -> None:
    """Set up structlog and `logging` for this process. Call it once, when a program starts."""
    level = getattr(logging, settings.log_level.upper())
    before: list[Processor] = [
        merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(settings)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _bounded(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Limits strings and lists, so that no field grows with a client's input."""
    for name, value in event.items():
        if isinstance(value, str) and len(value) > MOST_FIELD_CHARS:
            event[name] = f"{value[:MOST_FIELD_CHARS]}… ({len(value)} characters)"
        elif isinstance(value, list | tuple) and len(value) > MOST_FIELD_ITEMS:
            event[name] = [*value[:MOST_FIELD_ITEMS], f"… ({len(value)} in all)"]
    return event


def _harmless(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escapes control characters in foreign texts, such as paths, that would command a terminal."""
    for name, value in event.items():
        if name not in ("event", "exception") and isinstance(value, str) and not value.isprintable():
            event[name] = "".join(map(_visible, value))
    return event


def _visible(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def _rendering(settings: Settings) -> list[Processor]:
    before: list[Processor] = [
        structlog.processors.format_exc_info,
        without_credentials,
        _bounded,
        RECENT_EVENTS.keep,
    ]
    if settings.log_format == "json":
        return [*before, structlog.processors.JSONRenderer()]
    # not rich's: it is slow, and it prints local variables, including inputs and secrets
    plain = structlog.dev.plain_traceback
    return [
        *before,
        _harmless,
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain),
    ]
