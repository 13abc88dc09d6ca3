"""`POST /webhooks/mlflow`: signatures, repeated and late deliveries."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from shared import keys
from shared.registry_events import decode_event
from shared.webhook_signatures import signature
from tests.unit.gateway_fakes import FakeRedis, running_gateway, until

SECRET = "a-secret"
PATH = "/webhooks/mlflow"
DEPLOYS = "?alias=champion&deploy=true"


@pytest.fixture
def client() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
async def http(client: FakeRedis, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = {"access": "keys", "mlflow_webhook_secret": SECRET}
    async with running_gateway(client, tmp_path, **settings) as (gateway, http):
        await until(lambda: gateway.queue.up)
        await gateway.publisher.client.set(keys.publishing(keys.model_key("m", "1.0.0")), "another")
        yield http


def event(version: str = "1", *, second: int = 0, alias: str = "champion") -> bytes:
    return msgspec.json.encode(
        {
            "entity": "model_version_alias",
            "action": "created",
            "timestamp": f"2026-01-02T10:00:{second:02}+00:00",
            "data": {"name": "m", "version": version, "alias": alias},
        }
    )


def signed(body: bytes, *, secret: str = SECRET, age_s: int = 0) -> dict[str, str]:
    at_s = int(time.time()) - age_s
    return {
        "content-type": "application/json",
        "x-mlflow-delivery-id": "d1",
        "x-mlflow-timestamp": str(at_s),
        "x-mlflow-signature": signature(secret.encode(), "d1", at_s, body),
    }


async def waiting(client: FakeRedis) -> list[tuple[str, bool]]:
    """The version of each stored event, and whether it deploys."""
    stored: Any = await client.hgetall(keys.registry_events())  # Any: redis-py's union of answers
    found = [event for text in stored.values() if (event := decode_event(text)) is not None]
    return sorted((event.version, event.deploys) for event in found)


async def sent(http: httpx.AsyncClient, body: bytes, query: str = "", **of_signature: Any) -> httpx.Response:
    return await http.post(f"{PATH}{query}", content=body, headers=signed(body, **of_signature))


async def test_a_signed_event_is_accepted_and_stored(http: httpx.AsyncClient, client: FakeRedis) -> None:
    answer = await sent(http, event())
    assert (answer.status_code, answer.json()) == (
        202,
        {"state": "accepted", "model": "m", "version": "1.0.0"},
    )
    assert await waiting(client) == [("1.0.0", False)]
    assert (await sent(http, event())).json()["state"] == "repeated"


@pytest.mark.parametrize("wrong", [{"secret": "another"}, {"age_s": 301}, {"age_s": -301}])
async def test_a_wrong_or_old_signature_is_401(http: httpx.AsyncClient, wrong: dict[str, Any]) -> None:
    assert (await sent(http, event(), **wrong)).status_code == 401


async def test_a_signature_of_another_body_is_401(http: httpx.AsyncClient, client: FakeRedis) -> None:
    answer = await http.post(PATH, content=event("2"), headers=signed(event("1")))
    assert answer.status_code == 401
    assert not await client.exists(keys.registry_events())


async def test_without_a_signature_a_key_is_needed(http: httpx.AsyncClient) -> None:
    answer = await http.post(PATH, content=event(), headers={"content-type": "application/json"})
    assert answer.status_code == 401


async def test_without_a_secret_no_signature_is_good(client: FakeRedis, tmp_path: Path) -> None:
    async with running_gateway(client, tmp_path, access="keys") as (_, http):
        answer = await sent(http, event(), secret="")
        assert answer.status_code == 401
        assert "TAKT_MLFLOW_WEBHOOK_SECRET" in answer.text


async def test_a_signature_opens_no_other_endpoint(http: httpx.AsyncClient) -> None:
    assert (await http.get("/models", headers=signed(b""))).status_code == 401


async def test_the_newest_event_decides_however_deliveries_are_ordered(
    http: httpx.AsyncClient, client: FakeRedis
) -> None:
    states = [
        (await sent(http, event(version, second=second), DEPLOYS)).json()["state"]
        for version, second in (("2", 5), ("2", 5), ("1", 4), ("3", 6))
    ]
    assert states == ["accepted", "repeated", "repeated", "accepted"]
    assert await waiting(client) == [("2.0.0", True), ("3.0.0", True)]


async def test_an_alias_that_returns_to_a_version_is_an_event_of_its_own(
    http: httpx.AsyncClient, client: FakeRedis
) -> None:
    for version, second in (("1", 1), ("2", 2), ("1", 3)):
        await sent(http, event(version, second=second), DEPLOYS)
    assert await waiting(client) == [("1.0.0", True), ("1.0.0", True), ("2.0.0", True)]


async def test_a_webhook_that_only_publishes_does_not_replace_the_event_of_one_that_deploys(
    http: httpx.AsyncClient, client: FakeRedis
) -> None:
    for query in (DEPLOYS, ""):
        assert (await sent(http, event(), query)).json()["state"] == "accepted"
    assert await waiting(client) == [("1.0.0", False), ("1.0.0", True)]


async def test_an_event_of_the_future_is_refused(http: httpx.AsyncClient, client: FakeRedis) -> None:
    answer = await sent(http, event().replace(b"2026-", b"2999-"), DEPLOYS)
    assert (answer.status_code, "clock of MLflow" in answer.text) == (422, True)
    assert not await client.exists(keys.registry_aliases())


async def test_events_of_another_alias_or_kind_are_ignored(http: httpx.AsyncClient) -> None:
    assert (await sent(http, event(alias="other"), "?alias=champion")).json()["state"] == "ignored"
    prompt = event().replace(b"model_version_alias", b"prompt_alias")
    assert (await sent(http, prompt)).json()["state"] == "ignored"


async def test_deploying_needs_an_alias_and_a_body_has_a_limit(http: httpx.AsyncClient) -> None:
    assert (await sent(http, event(), "?deploy=true")).status_code == 422
    assert (await sent(http, b'"' + b"x" * 70_000 + b'"')).status_code == 413
