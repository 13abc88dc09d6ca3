"""Security headers on every response, and headers that no response has."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog
from pydantic import ValidationError

from shared.settings import Settings
from tests.unit.gateway_fakes import IRIS_ROW, FakeRedis, running_gateway

PAGE_OF_OTHERS = {"origin": "https://mes.example"}


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/console"])
async def test_a_page_loads_nothing_from_elsewhere_and_stands_in_no_frame(path: str, tmp_path: Path) -> None:
    async with running_gateway(FakeRedis(), tmp_path) as (_, http):
        answer = await http.get(path)
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert len(answer.headers.get_list("content-security-policy")) == 1
        assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/health", "/models", "/docs", "/nothing", "/jobs/x"])
async def test_an_answer_is_taken_for_what_it_says_it_is(path: str, tmp_path: Path) -> None:
    async with running_gateway(FakeRedis(), tmp_path) as (_, http):
        assert (await http.get(path)).headers.get_list("x-content-type-options") == ["nosniff"]
        predicted = await http.post("/predict", json=IRIS_ROW)
        assert predicted.headers.get_list("x-content-type-options") == ["nosniff"]


@pytest.mark.parametrize(
    "path", ["/health", "/models", "/nothing", "/jobs/x", "/predict", "/models/no/predict"]
)
async def test_an_answer_stands_in_no_frame_errors_too(path: str, tmp_path: Path) -> None:
    async with running_gateway(FakeRedis(), tmp_path) as (_, http):
        for answer in (await http.get(path), await http.post(path, json={})):
            assert answer.headers.get_list("x-frame-options") == ["DENY"], answer.text
            assert answer.headers.get_list("referrer-policy") == ["no-referrer"]


async def test_a_bug_is_told_to_the_log_and_not_to_the_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the password is in /etc/secret")

    async with running_gateway(FakeRedis(), tmp_path) as (gateway, http):
        monkeypatch.setattr(gateway.catalog, "find", broken)
        with structlog.testing.capture_logs() as events:
            for answer in (await http.get("/model-info"), await http.post("/predict", json=IRIS_ROW)):
                assert (answer.status_code, answer.json()["error"]) == (500, "internal_error")
                assert not any(word in answer.text for word in ("secret", "Traceback", "RuntimeError", ".py"))
        assert [event["event"] for event in events if event["log_level"] == "error"] == ["request_failed"] * 2


async def test_a_page_of_another_origin_may_call_where_a_setting_says_so(tmp_path: Path) -> None:
    asked = PAGE_OF_OTHERS | {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    async with running_gateway(FakeRedis(), tmp_path, cors_origins="https://mes.example") as (_, http):
        before = await http.options("/predict", headers=asked)
        assert before.headers["access-control-allow-origin"] == "https://mes.example"
        assert "authorization" in before.headers["access-control-allow-headers"]
        refused = await http.post("/predict", json={}, headers=PAGE_OF_OTHERS)
        assert refused.headers["access-control-allow-origin"] == "https://mes.example", "errors too"
        assert "X-Request-ID" in refused.headers["access-control-expose-headers"]
        other = await http.get("/models", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_without_the_setting_no_other_origin_may_call(tmp_path: Path) -> None:
    async with running_gateway(FakeRedis(), tmp_path) as (_, http):
        assert (
            "access-control-allow-origin" not in (await http.get("/models", headers=PAGE_OF_OTHERS)).headers
        )


async def test_who_is_refused_is_logged_with_his_address(tmp_path: Path) -> None:
    async with running_gateway(FakeRedis(), tmp_path, access="keys") as (_, http):
        with structlog.testing.capture_logs() as events:
            await http.get("/jobs")
        (refused,) = [event for event in events if event["event"] == "access_refused"]
        assert (refused["code"], refused["client"], refused["path"]) == ("unauthorized", "127.0.0.1", "/jobs")


@pytest.mark.parametrize(
    "changes",
    [{"cors_origins": "mes.example"}, {"cors_origins": "https://a/b"}, {"trusted_proxies": "nginx"}],
)
def test_a_wrong_list_is_refused_at_the_start(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(changes)
