"""A signed link is valid for a single address, for a minute, and while its key is valid."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import structlog

from api.access.authenticator import KeyAuthenticator
from api.access.signed_links import LASTS_S, linked, read_link, ticket_of
from api.gateway import Gateway
from tests.support.access import Holder, holder, keep
from tests.unit.gateway_fakes import FakeRedis
from tests.unit.job_stage import job_stage, run_chunks, submission

ANNA, BERT = holder("anna"), holder("bert")
BLIND = holder("anna", "submit")
CSV = {"part": "results", "format": "csv"}
PATH, QUERY = "/jobs/1/results", b"format=csv"

Stage = tuple[Gateway, httpx.AsyncClient]


@pytest.fixture
def client() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
async def stage(client: FakeRedis, tmp_path: Path) -> AsyncIterator[Stage]:
    await keep(client, ANNA, BERT, BLIND)
    async with job_stage(client, tmp_path, access="keys") as (gateway, http):
        await looked(gateway)
        yield gateway, http


async def looked(gateway: Gateway) -> KeyAuthenticator:
    assert isinstance(gateway.access.authenticator, KeyAuthenticator)
    await gateway.access.authenticator.look()
    return gateway.access.authenticator


async def job_of(stage: Stage, owner: Holder) -> str:
    """Create a job with results. → its path"""
    gateway, http = stage
    job: dict[str, Any] = (await http.post("/jobs", json=submission(3), headers=owner.headers)).json()
    await run_chunks(gateway, job["id"])
    return f"/jobs/{job['id']}"


async def link_to(stage: Stage, job: str, **wanted: Any) -> str:
    answer = await stage[1].post(f"{job}/links", json=CSV | wanted, headers=ANNA.headers)
    assert (answer.status_code, answer.json()["lasts_s"]) == (200, LASTS_S), answer.text
    return str(answer.json()["url"])


@pytest.mark.parametrize(
    "wanted",
    [
        CSV,
        CSV | {"format": "parquet", "partial": True},
        {"part": "errors", "format": "csv"},
        {"part": "manifest", "format": None},
    ],
)
async def test_a_link_answers_as_a_request_with_the_key_does(stage: Stage, wanted: dict[str, Any]) -> None:
    _, http = stage
    url = await link_to(stage, await job_of(stage, ANNA), **wanted)
    by_key = await http.get(url.partition("ticket=")[0], headers=ANNA.headers)
    by_link = await http.get(url)
    assert by_link.status_code == 200, by_link.text
    assert by_link.content == by_key.content
    assert ANNA.token not in url


async def test_a_link_is_valid_only_for_its_own_address(stage: Stage) -> None:
    _, http = stage
    job, other = await job_of(stage, ANNA), await job_of(stage, ANNA)
    url = await link_to(stage, job)
    ticket = url.partition("ticket=")[2]
    for changed in (
        url.replace(job, other),
        url.replace("results", "errors"),
        url.replace("csv", "json"),
        f"{job}/results?ticket={ticket}",
        f"{job}/results?format=csv&limit=1&ticket={ticket}",
        f"{job}/results?format=csv&xticket={ticket}",
        f"{url}&format=json",
        f"{url}0",
        url[:-1],
        f"{job}?ticket={ticket}",
        f"{job}/events?ticket={ticket}",
        f"/jobs?ticket={ticket}",
    ):
        assert (await http.get(changed)).status_code == 401, changed
    for method in ("POST", "DELETE", "PATCH"):
        assert (await http.request(method, url)).status_code == 401
    assert (await http.get(url)).status_code == 200


async def test_only_the_owner_gets_links_to_a_job_and_only_to_readable_files(stage: Stage) -> None:
    _, http = stage
    job = await job_of(stage, ANNA)
    for key, status in ((BERT, 404), (BLIND, 403)):
        assert (await http.post(f"{job}/links", json=CSV, headers=key.headers)).status_code == status
    assert (await http.post(f"{job}/links", json=CSV)).status_code == 401
    for wrong in (
        {"part": "rows"},
        {"part": "errors", "format": "arrow"},
        {"part": "manifest", "partial": True},
    ):
        assert (await http.post(f"{job}/links", json=wrong, headers=ANNA.headers)).status_code == 422


async def test_a_link_ends_with_its_key_and_does_not_replace_a_wrong_key(
    stage: Stage, client: FakeRedis
) -> None:
    gateway, http = stage
    url = await link_to(stage, await job_of(stage, ANNA))
    assert (await http.get(url, headers={"x-api-key": "takt_0_0"})).status_code == 401
    await keep(client, Holder(msgspec.structs.replace(ANNA.record, revoked_at_ms=5), ANNA.token))
    await looked(gateway)
    assert (await http.get(url)).status_code == 401


async def test_a_link_is_never_logged(client: FakeRedis, tmp_path: Path) -> None:
    await keep(client, ANNA)
    async with job_stage(client, tmp_path, access="keys", access_log=True) as stage:
        await looked(stage[0])
        with structlog.testing.capture_logs() as events:
            url = await link_to(stage, await job_of(stage, ANNA))
            await stage[1].get(url)
            await stage[1].get(f"{url}0")
        assert "ticket=" not in str(events)
        assert "ticket=" in url


async def test_where_no_key_is_asked_for_a_link_is_the_plain_address(
    client: FakeRedis, tmp_path: Path
) -> None:
    async with job_stage(client, tmp_path) as (gateway, http):
        job = await job_of((gateway, http), ANNA)
        answer = await http.post(f"{job}/links", json=CSV)
        assert answer.json() == {"url": f"{job}/results?format=csv", "lasts_s": None}


def test_a_ticket_is_good_for_a_minute_by_redis_clock() -> None:
    ticket = ticket_of(ANNA.record, PATH, QUERY, now_ms=1000.0)
    assert ticket.opens(ANNA.record, PATH, QUERY, now_ms=1000 + LASTS_S * 1000 - 1)
    assert not ticket.opens(ANNA.record, PATH, QUERY, now_ms=1000 + LASTS_S * 1000)
    assert not ticket.opens(BERT.record, PATH, QUERY, now_ms=1000)
    longer = msgspec.structs.replace(ANNA.record)
    assert not type(ticket)(longer.id, ticket.ends_ms + 1, ticket.seal).opens(
        longer, PATH, QUERY, now_ms=1000
    )


@pytest.mark.parametrize("before", [b"format=csv", b"format=csv&x", b"x"])
def test_a_ticket_that_is_glued_to_another_parameter_is_none(before: bytes) -> None:
    ticket = ticket_of(ANNA.record, PATH, before, now_ms=1)
    assert read_link(before + b"ticket=" + str(ticket).encode()) is None
    assert read_link(before + b"&ticket=" + str(ticket).encode()) == (before, ticket)


@pytest.mark.parametrize("query", [b"", QUERY, b"format=csv&partial=true"])
def test_a_link_is_read_as_it_was_written(query: bytes) -> None:
    ticket = ticket_of(ANNA.record, PATH, query, now_ms=1)
    path, _, whole = linked(PATH, query, ticket).partition("?")
    assert (path, read_link(whole.encode())) == (PATH, (query, ticket))


@pytest.mark.parametrize(
    "query",
    [b"", b"ticket=", b"ticket=a", b"ticket=a.1", b"ticket=a.x.b", b"ticket=a.1.\xff", b"a=bticket=a.1.b"],
)
def test_what_is_no_ticket_is_none(query: bytes) -> None:
    found = read_link(query)
    assert found is None or not found[1].opens(ANNA.record, PATH, found[0], now_ms=0)
