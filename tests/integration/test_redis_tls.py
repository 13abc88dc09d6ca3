"""All that talks to Redis does so over TLS, with a password, as a user with no more rights than needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from shared.connections import connect
from shared.settings import Settings
from stack.data_folder import Folder
from stack.doctor import Installation, Level, queue
from tests.support.polling import eventually
from tests.support.servers import redis_binary
from tests.support.stack import Stack, running, wait_until_ready
from tests.support.tls import PASSWORD, RIGHTS, TlsSentinel, TlsServer, authority

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    folder = tmp_path_factory.mktemp("redis-tls")
    with TlsServer(redis_binary(), folder, authority(folder / "tls", "127.0.0.1")) as started:
        with started.client() as client:
            client.execute_command("ACL", "SETUSER", "takt", "on", f">{PASSWORD}", *RIGHTS)
        yield started


def login(server: TlsServer) -> dict[str, Any]:
    return {
        "redis_username": "takt",
        "redis_password": PASSWORD,
        "redis_ca_file": str(server.trusted.ca),
    }


@pytest.fixture(scope="module")
def sentinel(server: TlsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsSentinel]:
    with TlsSentinel(redis_binary(), tmp_path_factory.mktemp("sentinel-tls"), server) as started:
        yield started


@pytest.fixture(scope="module", params=["server", pytest.param("sentinel", marks=pytest.mark.faults)])
def url(request: pytest.FixtureRequest) -> str:
    """Of the server itself, and of the Sentinel that names it."""
    found: str = request.getfixturevalue(request.param).url
    return found


@pytest.fixture(scope="module")
def stack(
    url: str, server: TlsServer, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    with running(url, tmp_path_factory.mktemp("stack"), models="iris", **login(server)) as started:
        started.gateway()
        started.worker("one")
        wait_until_ready(started)
        yield started


def test_predictions_and_jobs_go_through_a_redis_that_speaks_tls_and_asks_who_calls(stack: Stack) -> None:
    with stack.client() as http:
        answer = http.post("/predict/batch", json={"inputs": [[5.1, 3.5, 1.4, 0.2]]})
        assert answer.status_code == 200, answer.text
        body = {"model": "iris", "inputs": [[5.1, 3.5, 1.4, 0.2]] * 10}
        job = http.post("/jobs", json=body).json()["links"]["self"]
        eventually(lambda: _state(http, job) == "succeeded", limit_s=60)
    assert PASSWORD not in stack.logs()


def _state(http: httpx.Client, job: str) -> str:
    return str(http.get(job).json()["state"])


def test_no_right_is_missed(stack: Stack, server: TlsServer) -> None:
    """Whatever was refused while the others ran stands in Redis' log."""
    del stack
    with server.client() as client:
        refused = client.acl_log()
    assert [(entry["reason"], entry["object"]) for entry in refused if entry["username"] == "takt"] == []


def test_the_doctor_finds_it_well(url: str, server: TlsServer, tmp_path: Path) -> None:
    settings = Settings(redis_url=url, **login(server))
    (found, *_) = list(queue(Installation(settings, Folder(tmp_path))))
    assert found.level is Level.OK, found
    assert PASSWORD not in str(found)


def test_a_server_of_another_authority_is_not_talked_to(url: str, server: TlsServer, tmp_path: Path) -> None:
    other = authority(tmp_path, "127.0.0.1")
    settings = Settings(redis_url=url, **login(server) | {"redis_ca_file": str(other.ca)})
    with (
        connect(settings.redis_dsn()) as client,
        pytest.raises(redis.ConnectionError, match=r"CERTIFICATE|No master"),
    ):
        client.ping()
