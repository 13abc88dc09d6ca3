"""Redis URLs are completed by the settings, and the broker's certificate is checked like all others."""

from __future__ import annotations

import ssl

import pytest
from kombu.connection import Connection

from shared.doorbells import celery_settings
from shared.redis_urls import completed
from shared.settings import Settings
from stack.valkey import masked

CA = "/etc/takt/ca.pem"


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("redis://queue:6379/0", "redis://takt:p%40s%2Fs@queue:6379/0"),
        ("redis://:own@queue:6379/0", "redis://:own@queue:6379/0"),
        (
            "rediss://queue:6379/0",
            "rediss://takt:p%40s%2Fs@queue:6379/0?ssl_cert_reqs=required&ssl_ca_certs=%2Fetc%2Ftakt%2Fca.pem",
        ),
        (
            "rediss://me:own@queue/0?ssl_cert_reqs=none",
            "rediss://me:own@queue/0?ssl_cert_reqs=none&ssl_ca_certs=%2Fetc%2Ftakt%2Fca.pem",
        ),
        (
            "redis+sentinel://s1:26379,s2:26379/main?db=1",
            "redis+sentinel://takt:p%40s%2Fs@s1:26379,s2:26379/main?db=1",
        ),
        (
            "rediss+sentinel://s1:26379,s2:26379/main",
            "rediss+sentinel://takt:p%40s%2Fs@s1:26379,s2:26379/main"
            "?ssl_cert_reqs=required&ssl_ca_certs=%2Fetc%2Ftakt%2Fca.pem",
        ),
        ("unix:///run/valkey.sock?db=0", "unix://takt:p%40s%2Fs@/run/valkey.sock?db=0"),
    ],
)
def test_a_url_is_completed_by_what_it_does_not_say(url: str, whole: str) -> None:
    said = {"username": "takt", "password": "p@s/s", "ca_file": CA}
    assert completed(url, **said) == whole
    assert completed(whole, **said) == whole


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379/0", "unix:///run/valkey.sock?db=0"])
def test_a_url_that_lacks_nothing_stays_as_it_is(url: str) -> None:
    assert completed(url) == url


def test_the_broker_checks_the_certificate() -> None:
    settings = Settings(redis_url="rediss://queue:6379/0", redis_password="shh", redis_ca_file=CA)
    broker = Connection(celery_settings(settings)["broker_url"])  # type: ignore[no-untyped-call]
    assert broker.ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": CA}
    assert broker.password == "shh"


def test_a_password_is_not_shown() -> None:
    settings = Settings(redis_url="rediss://queue:6379/0", redis_username="takt", redis_password="p@ss/w:rd")
    assert "p@ss" not in repr(settings)
    assert masked(settings.redis_dsn()).startswith("rediss://***@queue:6379/0")
