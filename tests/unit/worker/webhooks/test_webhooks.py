"""Webhooks: allowed addresses, content, signature and retries."""

from __future__ import annotations

import base64
import json
import socket
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook

from shared.errors import InvalidInputError
from shared.ledger import JobRecord, JobState
from shared.settings import Settings
from shared.webhook_signatures import headers_of, signature
from shared.webhooks import Address, WebhookTarget, checked_url, permitted, target_of
from worker.webhooks.delivery import RETRY, next_delay_s, retry_after_s
from worker.webhooks.signing import body_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
DAY_S = 86_400.0


def settings(**changes: Any) -> Settings:
    return Settings(**({"webhook_secret": SECRET, "webhook_allow": "127.0.0.0/8"} | changes))


# Allowed addresses


def resolving(*addresses: str) -> Any:
    """A resolver that returns these addresses for every name."""
    return lambda host, port: [ip_address(address) for address in addresses]


def unresolvable(host: str, port: int) -> list[Address]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.1.1",
        "169.254.169.254",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "192.0.2.1",
        "::1",
        "::",
        "::7f00:1",
        "fe80::1",
        "fec0::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:db8::1",
    ],
)
def test_an_address_that_is_not_public_is_refused_at_submit(address: str) -> None:
    with pytest.raises(InvalidInputError, match="no address that webhooks may reach"):
        checked_url("https://receiver.example/hook", settings(webhook_allow=""), resolving(address))


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07::1", "64:ff9b::5db8:d70e"])
def test_a_public_address_is_taken(address: str) -> None:
    url = "https://receiver.example/hook"
    assert checked_url(url, settings(webhook_allow=""), resolving(address)) == url


def test_a_private_network_is_taken_where_the_operator_permits_it() -> None:
    factory = settings(webhook_allow="10.20.0.0/16, fd12::/16")
    for address in ("10.20.3.4", "fd12::7", "::ffff:10.20.3.4"):
        assert checked_url("http://mes.local/x", factory, resolving(address))
    for address in ("10.21.3.4", "127.0.0.1", "fd13::7"):
        with pytest.raises(InvalidInputError):
            checked_url("http://mes.local/x", factory, resolving(address))


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "224.0.0.1", "0.0.0.0"],
)
def test_metadata_and_multicast_addresses_are_refused_whatever_is_permitted(address: str) -> None:
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    assert permitted([ip_address(address)], everything) == []


def test_only_the_permitted_addresses_of_a_name_are_used() -> None:
    found = [ip_address("10.0.0.1"), ip_address("93.184.215.14")]
    assert permitted(found, ()) == found[1:]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]"])
def test_every_spelling_of_loopback_is_refused(host: str) -> None:
    with pytest.raises(InvalidInputError):
        checked_url(f"http://{host}/hook", settings(webhook_allow=""))


def test_a_refusal_tells_no_address_of_the_operators_network() -> None:
    with pytest.raises(InvalidInputError) as caught:
        checked_url("http://db.internal/", settings(webhook_allow=""), resolving("10.9.8.7"))
    assert "10.9.8.7" not in caught.value.detail
    assert caught.value.problems[0]["field"] == "webhook_url"


def test_a_name_without_an_address_yet_is_taken() -> None:
    assert checked_url("https://soon.example/hook", settings(), unresolvable)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://receiver.example/", "http:// or https://"),
        ("/hook", "http:// or https://"),
        ("https://user:password@receiver.example/", "user name or password"),
        ("https:///hook", "needs a host"),
        ("http://receiver.example:0/", "port"),
        ("http://receiver.example:99999/", "not a URL"),
        ("http://[::1/", "not a URL"),
        ("http://[fe80::1%25eth0]/", "host"),
        ("http://receiver.example/a b", "ASCII"),
        ("http://receiver.example/\r\nHost: x", "ASCII"),
        ("http://수신.example/", "ASCII"),
        ("http://8.8.8.8\\@127.0.0.1/", "ASCII"),
        ("http://receiver.example/" + "x" * 2048, "2048"),
        ("", "ASCII"),
    ],
)
def test_a_url_that_is_none_for_a_webhook_is_refused_with_its_reason(url: str, reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        checked_url(url, settings(), resolving("93.184.215.14"))


def test_a_url_is_taken_apart_as_it_will_be_asked_for() -> None:
    assert target_of("https://h.example/a/b?c=d#e") == WebhookTarget(True, "h.example", 443, "/a/b?c=d")
    assert target_of("http://[2606::1]:81") == WebhookTarget(False, "2606::1", 81, "/")


@pytest.mark.parametrize(
    ("url", "port"),
    [("http://mes.local/x", 80), ("https://mes.local/x", 443), ("http://mes.local:8080/x", 8080)],
)
def test_a_url_without_a_port_has_that_of_its_scheme(url: str, port: int) -> None:
    assert target_of(url).port == port


def test_without_a_secret_webhooks_are_refused_and_say_so() -> None:
    with pytest.raises(InvalidInputError, match="TAKT_WEBHOOK_SECRET"):
        checked_url("https://receiver.example/", settings(webhook_secret=""), resolving("93.184.215.14"))


@pytest.mark.parametrize(
    "secret", ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_%%%", f"{SECRET} x"]
)
def test_a_secret_that_is_none_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValidationError, match="webhook_secret") as caught:
        settings(webhook_secret=secret)
    assert secret not in str(caught.value)


def test_a_secret_is_not_shown_with_the_settings() -> None:
    assert SECRET not in repr(settings())


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="webhook_allow"):
        settings(webhook_allow="10.20.0.0/99")


# Content and signature


def ended(**changes: Any) -> JobRecord:
    values: dict[str, Any] = {
        "id": "j1",
        "model": "iris",
        "version": "1.0.0",
        "digest": "d",
        "owner": "anonymous",
        "reference": "로트-7",
        "tags": ("line-2",),
        "priority": 5,
        "state": JobState.SUCCEEDED,
        "created_at_ms": 1_000,
        "started_at_ms": 2_000,
        "finished_at_ms": 1_674_087_231_500,
        "rows_total": 10,
        "rows_accepted": 10,
        "rows_succeeded": 9,
        "rows_failed": 1,
        "chunks_total": 1,
        "chunks_ended": 1,
        "chunks_leased": 0,
        "error": None,
        "expires_at_ms": None,
        "id_column": "",
        "keep_columns": (),
        "webhook_url": "http://receiver.example/hook",
    }
    return JobRecord(**(values | changes))


def test_a_message_says_what_became_of_the_job() -> None:
    message = json.loads(body_of(ended()))
    assert message == {
        "type": "job.succeeded",
        "timestamp": "2023-01-19T00:13:51.500000Z",
        "data": {
            "id": "j1",
            "state": "succeeded",
            "model": "iris",
            "version": "1.0.0",
            "reference": "로트-7",
            "tags": ["line-2"],
            "rows_total": 10,
            "rows_succeeded": 9,
            "rows_failed": 1,
            "error": None,
            "links": {"self": "/jobs/j1", "results": "/jobs/j1/results"},
        },
    }


@pytest.mark.parametrize("state", ["succeeded", "failed", "canceled"])
def test_the_type_names_how_the_job_ended(state: str) -> None:
    assert json.loads(body_of(ended(state=JobState(state))))["type"] == f"job.{state}"


def test_a_signature_is_the_specifications_own_example() -> None:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_secrets_are_exchanged_a_message_is_valid_under_both() -> None:
    now_s = round(datetime.now(UTC).timestamp())
    both = settings(webhook_secret=f"{SECRET} {OLD_SECRET}").webhook_keys()
    headers = headers_of("msg_1", now_s, body_of(ended()), both)
    for secret in (SECRET, OLD_SECRET):
        assert Webhook(secret).verify(body_of(ended()), headers)["type"] == "job.succeeded"


# Retries


def delay(attempts: int, status: int | None = 500, **changes: float) -> float | None:
    return next_delay_s(attempts, status, **({"asked_s": 0.0, "left_s": DAY_S, "chance": 0.5} | changes))


def test_pauses_grow_from_seconds_to_an_hour() -> None:
    assert [delay(n) for n in range(1, 8)] == [5, 20, 80, 320, 1280, 3600, 3600]
    assert delay(10_000) == RETRY.longest_s


def test_pauses_stray_by_a_fifth() -> None:
    assert (delay(1, chance=0.0), delay(1, chance=1.0)) == (4.0, 6.0)


@pytest.mark.parametrize("status", [200, 202, 204, 410])
def test_a_delivered_message_and_a_receiver_that_is_gone_are_not_tried_again(status: int) -> None:
    assert delay(1, status) is None


@pytest.mark.parametrize("status", [None, 301, 307, 400, 404, 429, 500, 503])
def test_everything_else_is_tried_again(status: int | None) -> None:
    assert delay(1, status) == 5


def test_a_receiver_that_asks_for_a_longer_pause_gets_it() -> None:
    assert delay(1, 429, asked_s=120.0) == 120
    assert delay(6, 429, asked_s=1.0) == 3600


def test_after_a_day_a_message_is_given_up() -> None:
    assert delay(30, left_s=3600.0) == 3600
    assert delay(30, left_s=3599.0) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("Thu, 19 Jan 2023 00:14:51 GMT", 60),
        ("Thu, 19 Jan 2023 00:00:00 GMT", 0),
        ("soon", 0),
        ("-5", 0),
        ("", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float) -> None:
    assert retry_after_s(header, 1_674_087_231.0) == seconds
