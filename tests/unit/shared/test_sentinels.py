"""Sentinel URLs: both clients of redis-py, and Celery's broker, use the Sentinels of the URL."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kombu.connection import Connection
from pydantic import ValidationError
from redis.asyncio.connection import SSLConnection as AsyncSSLConnection
from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.connection import SSLConnection
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError
from redis.sentinel import MasterNotFoundError

from shared.connections import broker_of, connect, connect_async, means_away, refuses_writes
from shared.doorbells import celery_settings
from shared.sentinels import sentinel_address
from shared.settings import Settings

URL = "redis+sentinel://app:p%40ss@s1:26380,s2,[::1]:26381/takt?db=3&sentinel_password=shh"


def test_a_sentinel_url_names_each_sentinel_the_service_and_both_passwords() -> None:
    address = sentinel_address(URL)
    assert address.sentinels == (("s1", 26380), ("s2", 26379), ("::1", 26381))
    assert (address.service, address.db) == ("takt", 3)
    assert (address.username, address.password, address.sentinel_password) == ("app", "p@ss", "shh")
    assert "p@ss" not in repr(address)
    assert "shh" not in repr(address)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis+sentinel://:hunter2@s1:26379", "names its service"),
        ("redis+sentinel://:hunter2@/takt", "host:port"),
        ("redis+sentinel://:hunter2@s1:26379/takt?dB=1", "not dB"),
        ("redis+sentinel://:hunter2@s1:26379/takt?db=one", "a number for db"),
    ],
)
def test_a_wrong_sentinel_url_is_refused_without_its_password(url: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason) as refusal:
        Settings(redis_url=url)
    assert "hunter2" not in str(refusal.value)


def test_every_client_asks_the_sentinels_for_the_primary() -> None:
    url = "redis+sentinel://127.0.0.1:1/takt"  # no server listens there
    with pytest.raises(MasterNotFoundError, match="No master found for 'takt'"):
        connect(url).ping()

    async def ask() -> None:
        client = connect_async(url)
        with pytest.raises(AsyncMasterNotFoundError, match="No master found for 'takt'"):
            await client.ping()
        await client.aclose()

    asyncio.run(ask())


def test_the_broker_is_told_of_every_sentinel_and_the_service() -> None:
    found = broker_of(URL)
    assert found.tls == {}
    assert found.options["master_name"] == "takt"
    assert found.options["sentinel_kwargs"]["password"] == "shh"
    broker = Connection(found.url)  # type: ignore[no-untyped-call]
    assert broker.alt[1:] == ["sentinel://app:p%40ss@s2:26379/3", "sentinel://app:p%40ss@[::1]:26381/3"]
    assert (broker.transport_cls, broker.userid, broker.password) == ("sentinel", "app", "p@ss")
    assert (broker.hostname, broker.port, broker.virtual_host) == ("s1", 26380, "3")


def test_over_tls_every_client_checks_the_certificates_of_sentinels_and_servers() -> None:
    settings = Settings(
        redis_url="rediss+sentinel://s1:26380,s2/takt?ssl_certfile=/me.pem", redis_ca_file="/ca.pem"
    )
    checks = {"ssl_cert_reqs": "required", "ssl_ca_certs": "/ca.pem", "ssl_certfile": "/me.pem"}
    assert sentinel_address(settings.redis_dsn()).tls == checks
    celery = celery_settings(settings)
    assert celery["broker_use_ssl"] == checks
    assert checks.items() <= celery["broker_transport_options"]["sentinel_kwargs"].items()
    for client in (connect(settings.redis_dsn()), connect_async(settings.redis_dsn())):
        pool: Any = client.connection_pool
        assert issubclass(pool.connection_class, SSLConnection | AsyncSSLConnection)
        assert checks.items() <= pool.connection_kwargs.items()
        (asked, _) = pool.sentinel_manager.sentinels
        assert issubclass(asked.connection_pool.connection_class, SSLConnection | AsyncSSLConnection)
        assert checks.items() <= asked.connection_pool.connection_kwargs.items()


def test_options_of_tls_are_refused_where_nothing_is_encrypted() -> None:
    with pytest.raises(ValidationError, match="not ssl_ca_certs"):
        Settings(redis_url="redis+sentinel://s1/takt?ssl_ca_certs=/ca.pem")


def test_the_broker_of_a_plain_url_is_that_url() -> None:
    settings = celery_settings(Settings(redis_url="redis://:secret@queue:6379/1"))
    assert settings["broker_url"] == "redis://:secret@queue:6379/1"
    assert settings["broker_transport_options"]["socket_timeout"] == 3.0
    assert settings["broker_transport_options"]["health_check_interval"] == 5


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        ReadOnlyError("You can't write against a read only replica."),
        ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
        ResponseError("NOREPLICAS Not enough good replicas to write."),
    ],
)
def test_a_server_that_cannot_write_now_counts_as_away(error: ResponseError) -> None:
    assert refuses_writes(error)
    assert means_away(error)


def test_a_wrong_command_is_a_bug_and_not_an_outage() -> None:
    assert not means_away(ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"))
