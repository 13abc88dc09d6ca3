"""`GET /status`, the metric of conditions and `takt doctor` report every condition alike."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from api.gateway import Gateway
from api.status import fact_gathering
from api.status.fact_gathering import GATEWAY_SILENT_S
from shared import keys
from shared.conditions import BY_CODE, Severity, StatusFacts
from shared.ledger import AsyncLedger, NewJob, new_job_id
from shared.metrics import cluster_metrics as metrics
from stack import doctor
from stack.data_folder import Folder
from stack.doctor import Installation, Level
from stack.plan import read_settings
from stack.service_status import ServiceStatus
from tests.support.incidents import HEALTHY, INCIDENTS
from tests.support.scrapes import Scrape
from tests.unit.gateway_fakes import IRIS, FakeRedis, FakeWorker, running_gateway


@dataclass
class Stage:
    gateway: Gateway
    http: httpx.AsyncClient
    client: FakeRedis
    worker: FakeWorker
    folder: Path

    async def status(self) -> dict[str, Any]:
        """A status that no earlier look has answered."""
        self.gateway.status._looked_at_s = float("-inf")
        answer = await self.http.get("/status")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def codes(self) -> set[str]:
        return {one["code"] for one in (await self.status())["conditions"]}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    client = FakeRedis()
    async with running_gateway(client, tmp_path, models="iris") as (gateway, http):
        worker = FakeWorker(client, IRIS)
        await worker.beat()
        await gateway.fleet.watch.renew()
        yield Stage(gateway, http, client, worker, tmp_path)


def observe(stage: Stage, monkeypatch: pytest.MonkeyPatch, facts: StatusFacts) -> None:
    """Let the gateway observe these facts, for as long as conditions must hold."""

    async def gather(_: object) -> StatusFacts:
        return facts

    monkeypatch.setattr(type(stage.gateway.status.gatherer), "gather", gather)


@pytest.mark.parametrize("code", BY_CODE)
async def test_a_condition_is_in_the_status_the_metric_and_the_doctor(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    facts, kind = INCIDENTS[code], BY_CODE[code]
    observe(stage, monkeypatch, facts)
    await stage.status()
    observe(stage, monkeypatch, replace(facts, now_ms=facts.now_ms + round(kind.hold_s * 1000)))
    found = await stage.status()
    [only] = found["conditions"]
    assert only["code"] == code
    assert found["status"] == ("trouble" if kind.severity is Severity.TROUBLE else "warning")
    assert only.keys() == {"code", "severity", "since", "subject", "message", "remedy", "parameters"}
    if facts.redis is not None:
        scraped = Scrape((await stage.http.get("/metrics/cluster")).text)
        assert {one: scraped.of(metrics.CONDITIONS, code=one) for one in BY_CODE} == {
            one: float(one == code) for one in BY_CODE
        }
    [line] = findings(monkeypatch, stage.folder, found)
    assert line.text == f"{code}: {only['message']}"
    assert line.level is (Level.FAIL if kind.severity is Severity.TROUBLE else Level.WARN)
    assert line.todo == only["remedy"]


def findings(monkeypatch: pytest.MonkeyPatch, folder: Path, status: dict[str, Any]) -> list[doctor.Finding]:
    """What the doctor says of a service with this status."""
    answer = msgspec.json.decode(json.dumps(status), type=ServiceStatus)
    monkeypatch.setattr(doctor, "read_status", lambda url, key: answer)
    return list(doctor.service(Installation(read_settings({}), Folder(folder), url="http://gateway")))


async def test_a_healthy_service_has_no_condition(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    observe(stage, monkeypatch, HEALTHY)
    found = await stage.status()
    assert (found["status"], found["conditions"]) == ("healthy", [])
    [line] = findings(monkeypatch, stage.folder, found)
    assert line.level is Level.OK


def test_a_gateway_that_does_not_answer_fails_the_doctor(tmp_path: Path) -> None:
    unused = "http://127.0.0.1:1"
    [line] = doctor.service(Installation(read_settings({}), Folder(tmp_path), url=unused))
    assert line.level is Level.FAIL
    assert line.text.startswith("gateway_silent: ")


# -- facts that a gateway observes -------------------------------------------------------------------------


async def test_a_serving_gateway_is_healthy(stage: Stage) -> None:
    assert await stage.codes() == set()


async def test_a_redis_that_is_cut_off_is_the_only_condition(stage: Stage) -> None:
    stage.client.server.connected = False
    found = await stage.status()
    assert [one["code"] for one in found["conditions"]] == ["redis_down"]
    assert found["status"] == "trouble"
    stage.client.server.connected = True
    assert await stage.codes() == set()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AuthenticationError("WRONGPASS"), "it rejects the user name or password"),
        (RedisConnectionError("max number of clients reached"), "it has too many connections (maxclients)"),
        (RedisTimeoutError(), "no answer within 1.5 s"),
        (RedisConnectionError("redis://u:secret@host:1"), "the connection fails"),
    ],
)
async def test_the_reason_why_redis_does_not_answer_is_named(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    async def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(fact_gathering, "read_queue", fail)
    [found] = (await stage.status())["conditions"]
    assert found["code"] == "redis_down"
    assert found["message"] == f"Redis does not answer: {reason}. No work is accepted or run."


async def test_a_worker_that_fell_silent_is_named(stage: Stage) -> None:
    await stage.worker.die()
    await stage.client.zadd(keys.workers(), {"other/0:1": 1})
    await stage.gateway.fleet.watch.renew()
    stage.gateway.fleet.watch.fleet = replace(stage.gateway.fleet.now, workers=())
    found = await stage.status()
    assert "no_worker" in {one["code"] for one in found["conditions"]}


async def test_a_job_that_failed_is_counted_by_its_model(stage: Stage) -> None:
    ledger = AsyncLedger(stage.client, lambda *_: None)
    job = NewJob(id=new_job_id(), model="iris", version="1.0.0", digest="d", owner="anonymous")
    await ledger.open_job(job)
    await ledger.fail_job(job.id, "upload_interrupted", "the client left")
    found = await stage.status()
    [failed] = [one for one in found["conditions"] if one["code"] == "jobs_fail"]
    assert failed["subject"] == "iris@1.0.0"
    assert failed["parameters"] == {"count": 1}


async def test_dead_letters_and_damaged_objects_are_counted(stage: Stage) -> None:
    await stage.client.xadd(keys.dead_letters(), {"kind": "chunk"})
    await stage.client.hset(keys.damaged(), mapping={"count": 2, "job": "j"})
    assert await stage.codes() == {"dead_letters", "objects_damaged"}


async def test_a_webhook_that_failed_once_is_reported_until_it_is_delivered(stage: Stage) -> None:
    await stage.client.zadd(keys.webhooks(), {"j": 1})
    assert await stage.codes() == set()
    await stage.client.xadd(keys.job_webhook("j"), {"status": "500"})
    assert await stage.codes() == {"webhooks_fail"}
    await stage.client.zrem(keys.webhooks(), "j")
    assert await stage.codes() == set()


async def test_another_gateway_that_fell_silent_is_named(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = int((await stage.client.time())[0]) * 1000
    await stage.client.zadd(keys.gateways(), {"other": now_ms - 10_000, "test": now_ms - 10_000})
    assert await stage.codes() == set(), "Redis was away until now, so that it could not announce itself"
    monkeypatch.setattr(stage.gateway.queue, "up_s", lambda: GATEWAY_SILENT_S)
    [found] = (await stage.status())["conditions"]
    assert (found["code"], found["subject"]) == ("gateway_silent", "other")
