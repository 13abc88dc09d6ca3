"""The SDK over a fake transport: requests, and the decoding of responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from takt import AsyncTakt, Takt
from takt.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    JobCanceled,
    JobFailed,
    NotFound,
    NotTakt,
    RateLimited,
    Refused,
    TaktError,
    TimedOut,
    TryLater,
    Unauthorized,
    Unreachable,
)
from takt.formats import Format
from takt.retries import NEVER, PATIENT, Retries
from tests.unit.client.client_fakes import HASTY, Handler, answering, job, refusal, takt


@pytest.mark.parametrize(
    ("model", "version", "path"),
    [
        (None, None, "/predict"),
        ("iris", None, "/models/iris/predict"),
        ("iris", "1.0.0+b/2", "/models/iris/versions/1.0.0%2Bb%2F2/predict"),
    ],
)
def test_a_row_goes_to_the_model_that_is_named(model: str | None, version: str | None, path: str) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        assert request.url.raw_path.decode() == path
        assert json.loads(request.content) == {"at": "2026-03-02T06:30:00+00:00"}
        return httpx.Response(200, json={"prediction": "setosa"})

    row = {"at": datetime(2026, 3, 2, 6, 30, tzinfo=UTC)}
    with takt(serve) as client:
        assert client.predict(row, model=model, version=version) == {"prediction": "setosa"}


@pytest.mark.parametrize("generation", [None, 3])
def test_a_rollback_replaces_the_generation_that_is_named(generation: int | None) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("POST", "/models/iris/rollback")
        assert request.headers.get("if-match") == (generation and f'"{generation}"')
        return httpx.Response(200, json={"default": "1.0.0"})

    with takt(serve) as client:
        assert client.roll_back("iris", generation=generation) == {"default": "1.0.0"}


def test_a_row_without_names_is_sent_as_a_batch() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/predict/batch"
        assert json.loads(request.content) == {"inputs": [[5.1, 3.5]]}
        return httpx.Response(200, json={"results": [{"prediction": "setosa"}], "total_count": 1})

    with takt(serve) as client:
        assert client.predict([5.1, 3.5]) == {"prediction": "setosa"}


def test_a_refusal_names_row_and_field() -> None:
    problem = {"row": 3, "field": "petal_length", "msg": "Input should be a valid number"}
    words = "row 3, petal_length: Input should be a valid number"
    with (
        takt(lambda _: refusal(422, "validation_error", [problem])) as client,
        pytest.raises(InvalidInput, match=words) as refused,
    ):
        client.predict({})
    error = refused.value
    assert (error.code, error.status, error.request_id) == ("validation_error", 422, "r-1")
    assert [(each.row, each.field) for each in error.problems] == [(3, "petal_length")]


@pytest.mark.parametrize(
    ("status", "code", "headers", "kind"),
    [
        (404, "job_not_found", {}, NotFound),
        (410, "job_expired", {}, NotFound),
        (409, "idempotency_conflict", {}, Conflict),
        (409, "results_not_ready", {"Retry-After": "1"}, TryLater),
        (413, "payload_too_large", {}, Refused),
        (408, "upload_interrupted", {}, TryLater),
        (401, "unauthorized", {}, Unauthorized),
        (403, "forbidden", {}, Forbidden),
        (429, "rate_limited", {}, RateLimited),
        (503, "overloaded", {}, TryLater),
        (504, "deadline_exceeded", {}, TryLater),
    ],
)
def test_each_rejection_raises_its_error_class(
    status: int, code: str, headers: dict[str, str], kind: type[TaktError]
) -> None:
    client = takt(lambda _: refusal(status, code, "no", **headers), NEVER)
    with client, pytest.raises(TaktError) as raised:
        client.job("j1")
    assert type(raised.value) is kind
    assert raised.value.code == code


def test_the_key_goes_with_every_call_and_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str | None] = []

    def serve(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("authorization"))
        return httpx.Response(200, json={"prediction": "setosa"})

    for given, kept in ((None, ""), (None, "takt_1_env"), ("takt_1_own", "takt_1_env"), ("", "takt_1_env")):
        monkeypatch.setenv("TAKT_API_KEY", kept)
        with Takt("http://takt.test", api_key=given, transport=httpx.MockTransport(serve)) as client:
            client.predict({})
            assert "takt_1" not in repr(client) + repr(vars(client))
    assert sent == [None, "Bearer takt_1_env", "Bearer takt_1_own", None]


def test_a_proxy_without_a_gateway_is_retried() -> None:
    with takt(lambda _: httpx.Response(502, text="<html>"), NEVER) as client, pytest.raises(TryLater):
        client.health()


def test_a_missing_service_is_unreachable_and_a_slow_service_is_timed_out() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    def stall(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    with takt(refuse) as client, pytest.raises(Unreachable, match=r"takt\.test does not answer"):
        client.health()
    with takt(stall) as client, pytest.raises(TimedOut, match="did not answer in time"):
        client.health()


@pytest.mark.parametrize("answer", [httpx.Response(404, text="<html>"), httpx.Response(200, json=[])])
def test_another_service_is_not_taken_for_takt(answer: httpx.Response) -> None:
    with takt(lambda _: answer) as client, pytest.raises(NotTakt, match=str(answer.status_code)):
        client.health()


def failing(times: int, then: httpx.Response) -> tuple[Handler, list[httpx.Request]]:
    """A service that answers `overloaded` the first times, and the requests it received."""
    asked: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return refusal(503, "overloaded", "much", **{"Retry-After": "0"}) if len(asked) <= times else then

    return serve, asked


def test_calls_that_may_succeed_later_are_retried() -> None:
    serve, asked = failing(2, httpx.Response(200, json=job()))
    with takt(serve) as client:
        assert client.job("j1").state == "succeeded"
    assert len(asked) == 3


def test_patience_ends() -> None:
    serve, asked = failing(100, httpx.Response(200, json=job()))
    with takt(serve) as client, pytest.raises(TryLater, match="much"):
        client.job("j1")
    assert len(asked) == HASTY.attempts


def test_each_attempt_to_submit_has_the_same_key_and_the_whole_body(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("x\n1\n2\n")
    serve, asked = failing(2, httpx.Response(202, json=job("queued")))
    with takt(serve) as client:
        client.submit(path, model="iris")
        client.submit(path, model="iris")
    keys = [request.headers["idempotency-key"] for request in asked]
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]
    assert {request.content for request in asked} == {b"x\n1\n2\n"}


def test_rows_that_can_be_had_once_are_not_sent_twice() -> None:
    serve, asked = failing(1, httpx.Response(202, json=job("queued")))
    with takt(serve) as client, pytest.raises(TryLater):
        client.submit(iter([[1, 2]]), model="iris")
    assert len(asked) == 1


def test_an_upload_that_another_gateway_still_holds_is_asked_for_until_its_lease_is_over() -> None:
    held = TryLater("its first body is still being read", code="idempotency_in_progress")
    held.retry_after_s = 2.0
    pauses_s = [PATIENT.pause_s(held, attempt, jitter=0.0) for attempt in range(1, 31)]
    assert sum(pause_s or 0.0 for pause_s in pauses_s) > 45  # a lease is 30 s
    assert pauses_s[-1] is None
    assert NEVER.pause_s(held, 1, jitter=0.0) is None


def test_a_retry_after_is_kept_to_unless_it_is_too_long() -> None:
    asked = TryLater("later")
    patience = Retries(attempts=3, first_pause_s=1, longest_pause_s=10)
    assert [patience.pause_s(asked, attempt, 0.0) for attempt in (1, 2, 3)] == [1, 2, None]
    asked.retry_after_s = 7
    assert patience.pause_s(asked, 1, 0.0) == 7
    assert patience.pause_s(asked, 1, 0.5) == 8.75
    asked.retry_after_s = 11
    assert patience.pause_s(asked, 1, 0.0) is None


def sent(request: httpx.Request) -> tuple[dict[str, list[str]], bytes]:
    params = request.url.params
    return {name: params.get_list(name) for name in params}, request.content


def test_a_short_list_goes_as_json_so_that_a_wrong_row_is_refused_at_once() -> None:
    serve, asked = failing(0, httpx.Response(202, json=job("queued")))
    with takt(serve) as client:
        client.submit([[1, 2], {"x": 3}], model="iris", tags=["a"], priority=9, max_errors="10%")
    params, content = sent(asked[0])
    assert params == {}
    assert json.loads(content) == {
        "model": "iris",
        "tags": ["a"],
        "priority": 9,
        "max_errors": "10%",
        "inputs": [[1, 2], {"x": 3}],
    }


def test_options_that_json_does_not_support_are_sent_as_parameters() -> None:
    serve, asked = failing(0, httpx.Response(202, json=job("queued")))
    with takt(serve) as client:
        client.submit([{"x": 1}], model="iris", tags=["a", "b"], id_column="x", keep_columns=["y", "z"])
    params, content = sent(asked[0])
    assert params == {"model": ["iris"], "tag": ["a", "b"], "id_column": ["x"], "keep_columns": ["y", "z"]}
    assert content == b'{"x": 1}\n'
    assert asked[0].headers["content-type"] == "application/x-ndjson"


def events(*reported: dict[str, Any], first_id: int = 1) -> httpx.Response:
    text = "".join(f"id: {n}-0\ndata: {json.dumps(each)}\n\n" for n, each in enumerate(reported, first_id))
    return httpx.Response(200, text=f": alive\n\n{text}", headers={"Content-Type": "text/event-stream"})


def counts(state: str, rows: int) -> dict[str, Any]:
    return {"state": state, "rows_total": 2, "rows_succeeded": rows, "rows_failed": 0}


def test_a_job_is_followed_by_its_events_to_its_end() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return events(counts("queued", 0), counts("running", 1), job())
        return httpx.Response(200, json=job())

    with takt(serve) as client:
        assert [progress.rows_done for progress in client.watch("j1")] == [0, 1, 2]
        assert client.wait("j1").state == "succeeded"


def test_events_continue_after_a_broken_connection() -> None:
    heard: list[str | None] = []

    def serve(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/events"):
            return httpx.Response(200, json=job("running"), headers={"Retry-After": "0"})
        heard.append(request.headers.get("last-event-id"))
        return events(counts("running", 1)) if len(heard) == 1 else events(job(), first_id=2)

    with takt(serve) as client:
        assert [progress.state for progress in client.watch("j1")] == ["running", "running", "succeeded"]
    assert heard == [None, "1-0"]


def test_without_events_a_job_is_polled() -> None:
    states = iter(["queued", "running", "succeeded"])

    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return refusal(405, "method_not_allowed", "no events here")
        return httpx.Response(200, json=job(next(states)), headers={"Retry-After": "0"})

    with takt(serve) as client:
        assert [progress.state for progress in client.watch("j1")] == ["queued", "running", "succeeded"]


def test_a_job_that_is_not_there_is_not_followed() -> None:
    with takt(lambda _: refusal(404, "job_not_found", "no")) as client, pytest.raises(NotFound):
        client.wait("j1")


@pytest.mark.parametrize(("state", "kind"), [("failed", JobFailed), ("canceled", JobCanceled)])
def test_a_job_that_ended_badly_raises_its_reason(state: str, kind: type[JobFailed]) -> None:
    ended = job(state, error={"code": "prediction_failed", "detail": "the model raised"})
    with answering(200, ended) as client, pytest.raises(JobFailed, match=f"job j1 {state}: the model") as e:
        client.wait("j1")
    assert type(e.value) is kind
    assert e.value.job.state == state


def test_jobs_come_page_by_page() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        assert request.url.params["model"] == "iris"
        first = "cursor" not in request.url.params
        found = [job(id="a"), job(id="b")] if first else [job(id="c")]
        return httpx.Response(200, json={"jobs": found, "next": "after-b" if first else None})

    with takt(serve) as client:
        assert [each.id for each in client.jobs(model="iris")] == ["a", "b", "c"]


def test_results_are_read_row_by_row_whatever_their_strings_hold() -> None:
    rows = [{"note": "a\u2028b\x85c"}, {"note": "d"}]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    with takt(lambda _: httpx.Response(200, content=text.encode())) as client:
        assert list(client.results("j1")) == rows


def test_a_download_that_breaks_off_leaves_no_file_and_is_made_again(tmp_path: Path) -> None:
    asked: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(request)

        def pieces() -> Iterator[bytes]:
            yield b"a,b\n"
            if len(asked) == 1:
                assert list(tmp_path.iterdir()) != [tmp_path / "out.csv"]
                raise httpx.RemoteProtocolError("peer closed connection")

        return httpx.Response(200, content=pieces())

    with takt(serve) as client:
        assert client.download("j1", tmp_path / "out.csv") == 4
    assert len(asked) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert asked[0].url.params["format"] == "csv"
    broken = takt(lambda _: httpx.Response(200, content=iter([b"a"])), NEVER)
    with broken, pytest.raises(ValueError, match=r"out\.csv\.gz: unknown output format"):
        broken.download("j1", tmp_path / "out.csv.gz")


async def test_the_asynchronous_client_keeps_the_same_rules(tmp_path: Path) -> None:
    serve, asked = failing(2, httpx.Response(202, json=job("queued")))
    async with AsyncTakt("http://takt.test", retries=HASTY, transport=httpx.MockTransport(serve)) as client:
        reported: list[int] = []
        queued = await client.submit(b"x\n1\n", model="iris", format=Format.CSV, on_sent=reported.append)
    assert queued.state == "queued"
    assert reported == [4, 4, 4]
    assert len({request.headers["idempotency-key"] for request in asked}) == 1
