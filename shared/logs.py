"""Log events: a name and fields, on stderr, for a person (`console`) or a collector (`json`).

Inputs and secrets are never fields. Libraries that log through `logging` come out in the same form, and so do
warnings. What is logged while a request is served bears its ids.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

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
"""Of a field of an event: a traceback has its place in it, a client's body has none."""

_ids: ContextVar[dict[str, str]] = ContextVar("ids")


def bind_ids(ids: dict[str, str]) -> None:
    """Have every event of this task, and of threads that it hands work to, bear these ids besides those that
    it bears already."""
    _ids.set(_ids.get({}) | ids)


def configure_logging(settings: Settings) -> None:
    """Set up structlog and `logging` for this process. Called once, by a program as it starts."""
    level = getattr(logging, settings.log_level.upper())
    before: list[Processor] = [
        _add_ids,
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


def _add_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name, value in _ids.get({}).items():
        event.setdefault(name, value)
    return event


def _bounded(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """No field grows with what a client sent, nor a list of them."""
    for name, value in event.items():
        if isinstance(value, str) and len(value) > MOST_FIELD_CHARS:
            event[name] = f"{value[:MOST_FIELD_CHARS]}… ({len(value)} characters)"
        elif isinstance(value, list | tuple) and len(value) > MOST_FIELD_ITEMS:
            event[name] = [*value[:MOST_FIELD_ITEMS], f"… ({len(value)} in all)"]
    return event


def _harmless(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What others said, such as a path, is shown to a terminal without what would command it."""
    for name, value in event.items():
        if name != "event" and isinstance(value, str) and not value.isprintable():
            event[name] = "".join(map(_visible, value))
    return event


def _visible(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def _rendering(settings: Settings) -> list[Processor]:
    if settings.log_format == "json":
        return [structlog.processors.format_exc_info, _bounded, structlog.processors.JSONRenderer()]
    # not rich's: it is slow, and would print local variables, inputs and secrets among them
    plain = structlog.dev.plain_traceback
    return [
        _bounded,
        _harmless,
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain),
    ]
