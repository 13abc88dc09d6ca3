"""`takt status --timeline`: the events of a job as lines, and in JSON."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from takt.cli import app
from takt.commands.job_timeline import timeline_lines
from tests.unit.client.client_fakes import Serve, answering, job, refusal, takt

RUNNER = CliRunner()
AT = "2026-03-02T06:30:01Z"
EVENTS: list[tuple[dict[str, Any], str]] = [  # Any: JSON
    ({"event": "submitted", "by": "mes"}, "submitted by mes"),
    ({"event": "uploaded", "rows": 20, "chunks_total": 2}, "all rows stored: 20 rows in 2 chunks"),
    ({"event": "started", "waited_s": 1.5}, "started after 1.5 s"),
    ({"event": "paused", "by": "anna@example.org"}, "paused by anna@example.org"),
    ({"event": "cancel_requested", "by": "mes"}, "cancel requested by mes"),
    ({"event": "priority_changed", "priority": 9, "by": "mes"}, "priority changed to 9 by mes"),
    ({"event": "chunks_ended", "chunks_ended": 1, "chunks_total": 2}, "1 of 2 chunks ended"),
    (
        {
            "event": "attempt_failed",
            "chunk": 3,
            "attempt": 1,
            "worker": "w/0:a",
            "reason": "the store is full",
        },
        "attempt 1 of chunk 3 failed on worker w/0:a: the store is full",
    ),
    (
        {"event": "chunk_failed", "chunk": 3, "attempt": 3, "reason": "tried 3 times"},
        "chunk 3 failed after its last attempt: tried 3 times",
    ),
    (
        {"event": "failed", "reason": "too_many_errors: 9 rows failed"},
        "failed: too_many_errors: 9 rows failed",
    ),
    ({"event": "webhook_attempt", "status": 204}, "webhook attempt: 204"),
    ({"event": "webhook_attempt", "reason": "refused"}, "webhook attempt: no answer: refused"),
    ({"event": "moved_elsewhere", "by": "mes"}, "moved elsewhere by mes"),
    ({"event": "priority_changed"}, "priority changed to ?"),
]
TIMELINE = {"events": [{"at": AT} | event for event, _ in EVENTS], "omitted": 21}


def service(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=TIMELINE if request.url.path == "/jobs/j1/timeline" else job())


def earlier_service(request: httpx.Request) -> httpx.Response:
    if request.url.path.endswith("/timeline"):
        return refusal(404, "not_found", "Not Found")
    return httpx.Response(200, json=job())


def test_each_event_is_a_line_with_its_time_and_its_fields() -> None:
    *lines, last = timeline_lines(TIMELINE)
    assert [line.partition("  ")[2] for line in lines] == [text for _, text in EVENTS]
    assert all(line.startswith("2026-03-02 ") and ":30:01" in line for line in lines)
    assert last == "21 further events are not kept"


def test_the_timeline_follows_the_job_if_it_is_asked_for(serve: Serve) -> None:
    serve(service)
    first, *lines = RUNNER.invoke(app, ["status", "j1", "--timeline"]).stdout.splitlines()
    assert first == "j1  succeeded  iris@1.0.0  2 of 2 rows"
    assert [line.strip() for line in lines] == list(timeline_lines(TIMELINE))
    assert RUNNER.invoke(app, ["status", "j1"]).stdout.splitlines() == [first]  # a pipe


def test_json_has_the_timeline_in_the_same_document(serve: Serve) -> None:
    serve(service)
    document = json.loads(RUNNER.invoke(app, ["status", "j1", "--timeline", "--json"]).stdout)
    assert document == job() | {"timeline": TIMELINE["events"]}
    assert json.loads(RUNNER.invoke(app, ["status", "j1", "--json"]).stdout) == job()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output of the commands is a terminal."""
    monkeypatch.setattr(
        "takt.commands.jobs.sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True))
    )


@pytest.mark.usefixtures("terminal")
def test_in_a_terminal_the_timeline_follows_the_job(serve: Serve) -> None:
    serve(service)
    assert len(RUNNER.invoke(app, ["status", "j1"]).stdout.splitlines()) == len(EVENTS) + 2
    assert len(RUNNER.invoke(app, ["status", "j1", "--no-timeline"]).stdout.splitlines()) == 1
    assert json.loads(RUNNER.invoke(app, ["status", "j1", "--json"]).stdout) == job()


@pytest.mark.usefixtures("terminal")
def test_an_earlier_service_without_a_timeline_shows_the_job_alone(serve: Serve) -> None:
    serve(earlier_service)
    shown = RUNNER.invoke(app, ["status", "j1"])
    assert (shown.exit_code, shown.stdout) == (0, "j1  succeeded  iris@1.0.0  2 of 2 rows\n")
    assert RUNNER.invoke(app, ["status", "j1", "--timeline"]).exit_code == 1


def test_the_client_returns_the_timeline() -> None:
    with answering(200, TIMELINE) as client:
        assert client.timeline("j1") == TIMELINE
    with takt(service) as client:
        assert client.timeline("j1")["omitted"] == 21
