"""Attacks by a client with a valid key, or without a key."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import structlog

from api.access.authenticator import KeyAuthenticator
from api.access.limits import Limiter, quota_of
from api.gateway import Gateway
from api.routes.jobs.events import watched
from shared import keys
from shared.api_keys import Role
from shared.errors import RateLimitedError
from shared.logs import configure_logging
from shared.settings import Settings
from shared.webhooks import permitted
from shared.worker_records import WorkerRecord, WorkerState, to_hash
from tests.support.access import Holder, holder, keep
from tests.unit.gateway_fakes import IRIS, FakeRedis, FakeWorker
from tests.unit.job_stage import job_stage, submission

ANNA, BERT, CHIEF = holder("anna"), holder("bert"), holder("chief", "admin")
LIMITED = holder("carl", models=("gone",))

Stage = tuple[Gateway, httpx.AsyncClient]


@pytest.fixture
def client() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
async def stage(client: FakeRedis, tmp_path: Path) -> AsyncIterator[Stage]:
    await keep(client, ANNA, BERT, CHIEF, LIMITED)
    async with job_stage(client, tmp_path, access="keys") as (gateway, http):
        await looked(gateway)
        yield gateway, http


async def looked(gateway: Gateway) -> None:
    assert isinstance(gateway.access.authenticator, KeyAuthenticator)
    await gateway.access.authenticator.look()


async def job_of(stage: Stage, owner: Holder) -> str:
    answer = await stage[1].post("/jobs", json=submission(3), headers=owner.headers)
    return str(answer.json()["id"])


# -- what others do ----------------------------------------------------------------------------------------


async def test_whose_chunk_a_worker_runs_is_shown_to_its_owner_alone(stage: Stage, client: FakeRedis) -> None:
    gateway, http = stage
    job_id = await job_of(stage, ANNA)
    worker = WorkerRecord(
        id="w:1",
        host="here",
        pid=1,
        device="cpu",
        state=WorkerState.SERVING,
        started_at="2026-01-01T00:00:00Z",
        models={},
        current=f"chunk {job_id}/0",
    )
    raw: Any = client
    await raw.zadd(keys.workers(), {worker.id: 1})
    await raw.hset(keys.worker(worker.id), mapping=to_hash(worker))
    await gateway.fleet.watch.renew()
    for key, shown in ((ANNA, f"chunk {job_id}/0"), (CHIEF, f"chunk {job_id}/0"), (BERT, "chunk")):
        (found,) = (await http.get("/workers", headers=key.headers)).json()["workers"]
        assert found["current"] == shown


async def test_models_out_of_sight_are_named_nowhere(stage: Stage, client: FakeRedis) -> None:
    gateway, http = stage
    await FakeWorker(client, IRIS).beat()
    await gateway.fleet.watch.renew()
    for path in ("/models", "/models/gone", "/models/gone/versions/1", "/model-info", "/health"):
        answer = await http.get(path, headers=LIMITED.headers)
        assert "iris" not in answer.text, path
    for headers in ({}, {"x-api-key": "takt_0_0"}):
        assert (await http.get("/health", headers=headers)).json()["models_loaded"] == []
    assert (await http.get("/health", headers=ANNA.headers)).json()["models_loaded"] == ["iris"]


async def test_a_revoked_key_watches_no_job_any_longer(stage: Stage, client: FakeRedis) -> None:
    gateway, _ = stage
    job_id = await job_of(stage, ANNA)
    record = await gateway.jobs.ledger.read(job_id)
    assert isinstance(gateway.access.authenticator, KeyAuthenticator)
    headers = [(name.encode(), value.encode()) for name, value in ANNA.headers.items()]
    parts = watched(
        gateway,
        record,
        may=lambda: gateway.access.authenticator.authenticate_optional(headers).may(Role.READ),
        look_every_s=0.0,
        heartbeat_s=0.0,
    )
    assert (await anext(parts)).startswith(b"id: ")
    await keep(client, Holder(msgspec.structs.replace(ANNA.record, revoked_at_ms=5), ANNA.token))
    await looked(gateway)
    assert [part async for part in parts] == []


# -- ways around the door ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/jobs/", {}),
        ("GET", "//jobs", {}),
        ("GET", "/%6aobs", {}),
        ("GET", "/console/../jobs", {}),
        ("GET", "/console/%2e%2e/jobs", {}),
        ("GET", "/static-offline-docs/../jobs", {}),
        ("GET", "/static-offline-docs/..%2f..%2fjobs", {}),
        ("HEAD", "/jobs", {}),
        ("OPTIONS", "/jobs", {}),
        ("TRACE", "/jobs", {}),
        ("POST", "/health", {"x-http-method-override": "GET"}),
        (
            "GET",
            "/health",
            {"x-original-url": "/jobs", "x-rewrite-url": "/jobs", "x-forwarded-prefix": "/jobs"},
        ),
        ("GET", "/jobs?key={token}&api_key={token}&access_token={token}", {}),
        ("GET", "/jobs", {"cookie": "authorization={token}; x-api-key={token}"}),
        ("GET", "/jobs", {"x-forwarded-for": "127.0.0.1", "host": "localhost"}),
        ("POST", "/predict/", {}),
        ("POST", "//predict", {}),
    ],
)
async def test_no_way_leads_around_the_door(
    stage: Stage, method: str, path: str, headers: dict[str, str]
) -> None:
    await job_of(stage, ANNA)
    said = {name: value.replace("{token}", ANNA.token) for name, value in headers.items()}
    answer = await stage[1].request(method, path.replace("{token}", ANNA.token), headers=said)
    if answer.status_code == 302:  # httpx takes //jobs for a host, and its path is /
        assert answer.headers["location"] == "/console"
        return
    assert answer.status_code in (401, 404) or answer.json().get("status") == "degraded"
    assert "jobs" not in answer.text


@pytest.mark.parametrize(
    "name", ["..%2froutes.py", "..%5croutes.py", "%2e%2e%2f%2e%2e%2fmain.py", "index.html%00"]
)
async def test_the_consoles_files_are_all_that_it_serves(stage: Stage, name: str) -> None:
    for folder in ("console", "static-offline-docs"):
        answer = await stage[1].get(f"/{folder}/{name}")
        assert answer.status_code in (401, 404), folder
        assert "import" not in answer.text


async def test_two_gateways_together_let_no_more_through_than_a_day_has(client: FakeRedis) -> None:
    quota = quota_of(holder("few", rows_per_day=10).record)
    limiters = [Limiter(client), Limiter(client)]
    asked = [limiters[n % 2].charge(quota, 3) for n in range(8)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in found].count(RateLimitedError) == 5
    assert found.count(None) == 3


# -- traces that it leaves ---------------------------------------------------------------------------------


def test_what_a_client_says_cannot_write_on_an_operators_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    before = logging.getLogger().handlers[:]
    try:
        configure_logging(Settings())
        structlog.get_logger().info(
            "access_refused", path="/\x1b[2J\x1b]0;owned\x07", client="a\u2028b\x85c\x9bd"
        )
    finally:
        logging.getLogger().handlers[:] = before
        structlog.reset_defaults()
    line = written.getvalue().rstrip("\n")
    assert "access_refused" in line
    assert line.isprintable(), line.encode("unicode_escape")


@pytest.mark.parametrize(
    "address",
    ["169.254.170.2", "169.254.170.23", "fd00:ec2::23", "fd20:ce::254", "fe80::1", "::ffff:169.254.170.2"],
)
def test_no_network_permits_a_webhook_to_where_clouds_keep_credentials(address: str) -> None:
    everything = [ip_network("0.0.0.0/0"), ip_network("::/0")]
    assert permitted([ip_address(address)], everything) == []
