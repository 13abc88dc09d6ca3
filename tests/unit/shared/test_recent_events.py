"""The latest log events of a process: bounded, scrubbed as the log is, and without references to objects."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import structlog

from shared import logs
from shared.recent_events import MOST_KEPT_CHARS, LogEvent, LogLevel, RecentEvents
from shared.settings import Settings

PASSWORD = "correct-horse"


def kept(recent: RecentEvents, level: str, name: str, **fields: Any) -> None:  # Any: what a caller logs
    recent.keep(None, level, {"level": level, "event": name, "timestamp": f"{name:>04}", **fields})


def test_a_flood_of_information_removes_no_warning() -> None:
    recent = RecentEvents(most=3)
    kept(recent, "warning", "0")
    for number in range(1, 9):
        kept(recent, "info", str(number))
    assert [event.event for event in recent.newest()] == ["0", "6", "7", "8"]


def test_events_of_all_kinds_are_in_order_of_time() -> None:
    recent = RecentEvents()
    for number, level in enumerate(["info", "error", "debug", "warning", "info"]):
        kept(recent, level, str(number))
    assert [event.event for event in recent.newest()] == list("01234")


def test_a_field_is_kept_as_a_value_of_json_and_is_bounded() -> None:
    recent = RecentEvents()
    kept(recent, "error", "1", rows=3, ok=True, none=None, models=["a", "b"], exception="x" * 9000 + "end")
    (event,) = recent.newest()
    assert event.fields["exception"] == f"…{'x' * (MOST_KEPT_CHARS - 3)}end"
    assert {name: event.fields[name] for name in ("rows", "ok", "none", "models")} == {
        "rows": 3,
        "ok": True,
        "none": None,
        "models": "['a', 'b']",
    }
    assert msgspec.json.decode(msgspec.json.encode([event]), type=list[LogEvent]) == [event]


@pytest.mark.parametrize(
    ("lowest", "included"),
    [("debug", 5), ("info", 4), ("warning", 3), ("error", 2), ("critical", 1)],
)
def test_a_level_includes_the_levels_above_it(lowest: str, included: int) -> None:
    assert sum(LogLevel(lowest).includes(level.value) for level in LogLevel) == included
    assert LogLevel(lowest).includes("a level of a library")


@pytest.fixture
def recent(monkeypatch: pytest.MonkeyPatch) -> RecentEvents:
    """The kept events of the configured process."""
    made = RecentEvents()
    monkeypatch.setattr(logs, "RECENT_EVENTS", made)
    return made


@pytest.fixture(params=["json", "console"])
def written(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, recent: RecentEvents
) -> Iterator[io.StringIO]:
    """The log of a configured process."""
    assert not recent.newest()
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    before = logging.getLogger().handlers[:], logging.getLogger().level
    logs.configure_logging(Settings(log_format=request.param))
    yield stream
    logging.getLogger().handlers[:] = before[0]
    logging.getLogger().setLevel(before[1])
    logging.captureWarnings(False)
    structlog.reset_defaults()


def text_of(recent: RecentEvents) -> str:
    return msgspec.json.encode(recent.newest()).decode()


def test_credentials_of_a_url_reach_neither_the_log_nor_the_kept_events(
    written: io.StringIO, recent: RecentEvents
) -> None:
    log = structlog.get_logger()
    log.warning("queue_unreachable", reason=f"redis://:{PASSWORD}@valkey:6379/0 refused")
    log.warning("store_unreachable", reason=f"s3 at 'https://user:p@{PASSWORD}@store/bucket'")
    try:
        raise ConnectionError(f"cannot reach rediss://takt:{PASSWORD}@valkey:6379")
    except ConnectionError:
        log.exception("broke")
        logging.getLogger("library").exception("of a library")
    for text in (written.getvalue().replace("\\u2026", "…"), text_of(recent)):
        assert PASSWORD not in text
        assert "redis://…@valkey:6379/0 refused" in text
        assert "https://…@store/bucket" in text
        assert text.count("ConnectionError: cannot reach rediss://…@valkey:6379") == 2


def test_kept_events_are_those_of_the_log(written: io.StringIO, recent: RecentEvents) -> None:
    structlog.get_logger().info("worker_serving", worker="w/0", models=["iris@1.0.0"])
    logging.getLogger("kombu").warning("%s is away", "redis")
    structlog.get_logger().debug("below the level of the log")
    first, second = recent.newest()
    assert (first.level, first.event, first.fields["worker"]) == ("info", "worker_serving", "w/0")
    assert (second.level, second.event, second.logger) == ("warning", "redis is away", "kombu")
    lines = written.getvalue().splitlines()
    assert len(lines) == 2
    if lines[0].startswith("{"):
        assert json.loads(lines[1])["timestamp"] == second.at


def test_a_traceback_shows_code_and_no_values(written: io.StringIO, recent: RecentEvents) -> None:
    row = [number / 8 for number in (34, 137)]
    try:
        raise ValueError("no such column")
    except ValueError:
        structlog.get_logger().exception("failed", rows=len(row))
    for text in (written.getvalue(), text_of(recent)):
        assert "ValueError: no such column" in text
        assert str(row[1]) not in text
