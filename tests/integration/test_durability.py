"""The durable setting on real servers: 202 means that the job is on the disk, or on a replica."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from pydantic import SecretStr

from api.app import create_app
from shared.durability import VOUCHED, Promise, check_durable
from shared.errors import JobNotFoundError, QueueUnavailableError, UnsupportedServerError
from shared.settings import Settings
from tests.support.ledgers import Clients, House
from tests.support.polling import eventually
from tests.support.servers import Server, valkey_binary
from tests.support.worker_starts import worker_start
from tests.unit.gateway_fakes import until
from tests.unit.job_stage import built
from worker.process import WorkerProcess
from worker.process_parts import Handover

pytestmark = pytest.mark.integration

JOB = {"model": "iris", "inputs": [[5.1, 3.5, 1.4, 0.2]]}
KEY = {"Idempotency-Key": "lot-4711"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(valkey_binary(), _made(tmp_path / "server"), "--appendfsync", "always") as started:
        yield started


@asynccontextmanager
async def gateway(server: Server, folder: Path, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway on a real server. Nobody runs its jobs."""
    built(folder / "models")
    chosen: dict[str, Any] = {
        "redis_url": server.url,
        "models_dir": folder / "models",
        "payload_url": (folder / "payloads").as_uri(),
    } | changes
    app = create_app(Settings(**chosen))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as http,
    ):
        await until(lambda: app.state.gateway.queue.up)
        yield http


async def durable(http: httpx.AsyncClient, headers: dict[str, str]) -> httpx.Response:
    """The job once it is durable: a busy disk, or replica, may need longer than one request waits for it."""
    for _ in range(60):
        answer = await http.post("/jobs", json=JOB, headers=headers)
        if answer.status_code != 503:
            break
    return answer


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"appendfsync": "everysec"}, "set `appendfsync always`"),
        ({"appendfsync": "no"}, "set `appendfsync always`"),
        ({"no-appendfsync-on-rewrite": "yes"}, "set `no-appendfsync-on-rewrite no`"),
        ({"appendonly": "no"}, "needs `appendonly yes` and `appendfsync always`"),
    ],
)
async def test_no_program_starts_with_disk_on_a_server_that_acknowledges_before_it_syncs(
    server: Server, tmp_path: Path, options: dict[str, str], advice: str
) -> None:
    with server.client() as admin:
        for name, value in options.items():
            admin.config_set(name, value)
    with pytest.raises(UnsupportedServerError, match=advice):
        async with gateway(server, tmp_path, durability="disk"):
            pass
    settings = Settings(redis_url=SecretStr(server.url), durability=Promise.DISK)
    process = WorkerProcess(settings, lambda *_: None, Handover(worker_start()))
    with pytest.raises(UnsupportedServerError, match=advice):
        process.start(lambda: False, lambda: None)


async def test_a_server_that_refuses_config_is_taken_where_the_operator_vouches_for_it(
    server: Server, tmp_path: Path
) -> None:
    with server.client() as admin:
        admin.acl_setuser(
            "takt",
            enabled=True,
            passwords=["+s3cret"],
            keys=["*"],
            channels=["*"],
            categories=["+@all"],
            commands=["-config"],
        )
    account = {"redis_username": "takt", "redis_password": "s3cret", "durability": "disk"}
    with pytest.raises(UnsupportedServerError, match="TAKT_APPENDFSYNC=always"):
        async with gateway(server, tmp_path / "refused", **account):
            pass
    async with gateway(server, tmp_path / "taken", **account, appendfsync="always") as http:
        assert (await http.post("/jobs", json=JOB)).status_code == 202


async def test_a_server_that_no_longer_syncs_each_write_has_no_job_acknowledged_as_durable(
    server: Server, tmp_path: Path
) -> None:
    """As after a failover to a server of another configuration."""
    async with gateway(server, tmp_path, durability="disk") as http:
        with server.client() as admin:
            admin.config_set("appendfsync", "everysec")
        refused = await http.post("/jobs", json=JOB)
    assert (refused.status_code, refused.json()["error"]) == (503, "not_durable")
    assert "set `appendfsync always`" in refused.json()["detail"]


async def test_a_job_that_is_not_on_the_disk_in_time_is_503_and_its_key_still_leads_to_it(
    server: Server, tmp_path: Path
) -> None:
    admin = server.client()
    async with gateway(server, tmp_path, durability="disk", durability_limit_s=0.3) as http:
        admin.config_set("appendfsync", "no")  # the disk is never waited for
        late = await http.post("/jobs", json=JOB, headers=KEY)
        assert (late.status_code, late.json()["error"]) == (503, "not_durable")
        assert int(late.headers["retry-after"]) >= 1
        admin.config_set("appendfsync", "always")
        again = await durable(http, KEY)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    assert again.json()["id"] in late.json()["detail"]


async def test_a_job_acknowledged_as_durable_stands_after_its_server_was_killed(
    server: Server, tmp_path: Path
) -> None:
    async with gateway(server, tmp_path, durability="disk") as http:
        answer = await http.post("/jobs", json=JOB)
        assert answer.status_code == 202
        server.kill()
    server.start()
    async with gateway(server, tmp_path / "again") as http:
        job = await http.get(answer.headers["location"])
    assert job.json()["state"] == "queued"


async def test_without_a_replica_that_answers_replica_durability_is_503(
    server: Server, tmp_path: Path
) -> None:
    changes = {"durability": "replica", "durability_limit_s": 0.5}
    with Server(valkey_binary(), _made(tmp_path / "replica")) as replica:
        _follow(replica, server)
        async with gateway(server, tmp_path, **changes) as http:
            assert (await durable(http, KEY)).status_code == 202
            replica.pause()
            refused = await http.post("/jobs", json=JOB)
            replica.go_on()
    assert (refused.status_code, refused.json()["error"]) == (503, "not_durable")


def test_redis_7_0_is_refused_for_the_disk_and_taken_for_a_replica(redis7: Server) -> None:
    with redis7.client() as client:
        info: dict[str, object] = client.info("server", "persistence")
    with pytest.raises(UnsupportedServerError, match="no WAITAOF"):
        check_durable(info, Promise.DISK, VOUCHED)
    assert check_durable(info, Promise.REPLICA, None).name == "redis"


def test_a_job_whose_chunks_were_lost_in_a_failover_is_refused_rather_than_sealed_short(
    valkey: Server,
) -> None:
    house = House(Clients.of_url(valkey.url))
    try:
        job = house.open()
        house.ask(house.gateway.append_chunks, job.id, job.key, [3], first=0)
        with pytest.raises(
            QueueUnavailableError, match="lost a part"
        ):  # chunk 1 was appended to the old primary
            house.ask(house.gateway.append_chunks, job.id, job.key, [3], first=2)
        with pytest.raises(QueueUnavailableError, match="lost a part"):
            house.ask(house.gateway.seal, job.id, chunks=2)
        house.ask(house.gateway.seal, job.id, chunks=1)
        with pytest.raises(JobNotFoundError):
            house.ask(house.gateway.seal, job.id, chunks=1)
    finally:
        house.clients.close()


def _follow(replica: Server, primary: Server) -> None:
    client: redis.Redis = replica.client()
    client.replicaof("127.0.0.1", primary.port)
    eventually(lambda: client.info("replication")["master_link_status"] == "up")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
