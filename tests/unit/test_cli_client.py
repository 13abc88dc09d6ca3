"""The SDK and its commands: what is sent, and what each answer becomes. Only the transport is a fake."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from takt.cli import app, read_inputs
from takt.client import Takt
from takt.errors import JobFailed, NotTakt, Refused, TryLater, Unreachable

Handler = Callable[[httpx.Request], httpx.Response]


def takt(handler: Handler) -> Takt:
    return Takt("http://takt.test", transport=httpx.MockTransport(handler))


def answering(status: int, document: Any, **headers: str) -> Takt:
    return takt(lambda _: httpx.Response(status, json=document, headers=headers))


def refusing(status: int, code: str, detail: Any, **headers: str) -> Takt:
    return answering(status, {"error": code, "detail": detail, "request_id": "r-1"}, **headers)


def job(state: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": "j1",
        "state": state,
        "model": "iris",
        "version": "1.0.0",
        "rows_total": 2,
        "rows_succeeded": 2,
        "rows_failed": 0,
        **changes,
    }


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


def test_a_row_without_names_goes_as_a_batch_of_one() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/predict/batch"
        assert json.loads(request.content) == {"inputs": [[5.1, 3.5]]}
        return httpx.Response(200, json={"results": [{"prediction": "setosa"}], "total_count": 1})

    with takt(serve) as client:
        assert client.predict([5.1, 3.5]) == {"prediction": "setosa"}


def test_a_refusal_names_row_and_field() -> None:
    problem = {"row": 3, "field": "petal_length", "msg": "Input should be a valid number"}
    with (
        refusing(422, "validation_error", [problem]) as client,
        pytest.raises(Refused, match="row 3, petal_length: Input should be a valid number") as refused,
    ):
        client.predict({})
    assert (refused.value.code, refused.value.status, refused.value.request_id) == (
        "validation_error",
        422,
        "r-1",
    )


@pytest.mark.parametrize("status", [429, 503, 504])
def test_what_may_succeed_later_says_when(status: int) -> None:
    with (
        refusing(status, "overloaded", "too much", **{"Retry-After": "7"}) as client,
        pytest.raises(TryLater) as later,
    ):
        client.predict({})
    assert later.value.retry_after_s == 7


def test_nobody_there_is_unreachable() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    with takt(refuse) as client, pytest.raises(Unreachable, match=r"takt\.test does not answer"):
        client.health()


def test_another_service_is_not_taken_for_takt() -> None:
    with takt(lambda _: httpx.Response(404, text="<html>")) as client, pytest.raises(NotTakt, match="404"):
        client.predict({})


def test_waiting_ends_with_the_job() -> None:
    states = iter(["queued", "running", "succeeded"])

    def serve(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=job(next(states)), headers={"Retry-After": "0.001"})

    with takt(serve) as client:
        assert client.wait("j1").state == "succeeded"
    assert next(states, None) is None


def test_a_job_that_ended_badly_raises_its_reason() -> None:
    failed = job("failed", error={"code": "prediction_failed", "detail": "the model raised"})
    with answering(200, failed) as client, pytest.raises(JobFailed, match="job j1 failed: the model raised"):
        client.wait("j1")


# -- the program -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ('{"x": 1}', {"x": 1}),
        ("[1, 2]", [[1, 2]]),
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        (' [{"x": 1}]', [{"x": 1}]),
    ],
)
def test_a_row_or_rows_are_read_from_text_file_and_standard_input(
    text: str, inputs: object, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.json").write_text(text)
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert read_inputs(text) == read_inputs(str(tmp_path / "rows.json")) == read_inputs("-") == inputs


@pytest.mark.parametrize("text", ["[", "[]", "nowhere.json"])
def test_what_is_no_row_is_wrong_usage(text: str) -> None:
    result = CliRunner().invoke(app, ["predict", text])
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_service_that_is_not_there_is_exit_code_3_and_words() -> None:
    result = CliRunner().invoke(app, ["status", "j1", "--url", "http://127.0.0.1:1"])
    assert result.exit_code == 3
    assert "http://127.0.0.1:1 does not answer" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("url", ["localhost:8000", "http://localhost:port"])
def test_a_url_that_is_none_is_exit_code_1_and_words(url: str) -> None:
    result = CliRunner().invoke(app, ["status", "j1", "--url", url])
    assert result.exit_code == 1
    assert "is not a URL of a service" in result.stderr
