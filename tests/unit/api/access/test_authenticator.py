"""API keys: their permissions, the visibility of jobs, and the time until a revocation takes effect."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import pytest
import structlog

from api.access.authenticator import KeyAuthenticator, token_of
from api.access.start_check import check_access
from api.access.throttled_reads import ThrottledRead
from api.gateway import Gateway
from shared import keys
from shared.api_keys import KeyRecord, Role, decode_key, encode_key, is_name, key_id_of, new_token
from shared.errors import OperatorError, QueueUnavailableError, UnauthorizedError
from shared.settings import Settings
from tests.support.access import Holder, holder, keep
from tests.unit.gateway_fakes import FakeClock, FakeRedis
from tests.unit.job_stage import job_stage, run_chunks, submission

ANNA, BERT = holder("anna"), holder("bert")
ADMIN = holder("chief", "admin")
LIMITED = holder("anna", models=("classifier",))

Stage = tuple[Gateway, httpx.AsyncClient]


@pytest.fixture
def client() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
async def stage(client: FakeRedis, tmp_path: Path) -> AsyncIterator[Stage]:
    await keep(client, ANNA, BERT, ADMIN, LIMITED)
    async with job_stage(client, tmp_path, access="keys") as (gateway, http):
        assert isinstance(gateway.access.authenticator, KeyAuthenticator)
        await gateway.access.authenticator.look()
        yield gateway, http


def bearing(token: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Bearer " + token)]


async def ended_job(stage: Stage) -> dict[str, Any]:
    """A job of Anna with results."""
    gateway, http = stage
    job: dict[str, Any] = (await http.post("/jobs", json=submission(3), headers=ANNA.headers)).json()
    await run_chunks(gateway, job["id"])
    return job


def calls_of(job: dict[str, Any]) -> list[tuple[str, str]]:
    """Every request for a job."""
    own = job["links"]["self"]
    told = [("POST", f"{own}/{what}") for what in ("cancel", "pause", "resume")]
    read = [("GET", f"{own}{what}") for what in ("", "/events", "/results", "/errors", "/manifest")]
    return [*read, *told, ("PATCH", own), ("DELETE", own)]


async def test_a_second_key_can_neither_see_nor_read_nor_change_a_job_of_the_first(stage: Stage) -> None:
    _, http = stage
    job = await ended_job(stage)
    nowhere = job["id"][::-1]
    for method, path in calls_of(job):
        answer = await http.request(method, path, json={"priority": 1}, headers=BERT.headers)
        guessed = await http.request(
            method, path.replace(job["id"], nowhere), json={"priority": 1}, headers=BERT.headers
        )
        assert (answer.status_code, answer.json()["error"]) == (404, "job_not_found")
        assert answer.json()["detail"] == guessed.json()["detail"].replace(nowhere, job["id"])
    assert (await http.get("/jobs", headers=BERT.headers)).json()["jobs"] == []
    assert (await http.get(job["links"]["self"], headers=ANNA.headers)).json()["state"] == "succeeded"


async def test_a_new_key_is_good_at_its_first_use(stage: Stage, client: FakeRedis) -> None:
    _, http = stage
    new, linked = holder("new"), holder("linked")
    await keep(client, new)
    assert (await http.get("/jobs", headers=new.headers)).status_code == 200
    await keep(client, linked)
    row = {"sepal_length": 5, "sepal_width": 3, "petal_length": 1, "petal_width": 0.2}
    taken = await http.post("/predict", json=row, headers=linked.headers | {"prefer": "respond-async"})
    assert taken.status_code == 202


async def test_many_unknown_keys_share_few_looks_at_redis(stage: Stage, client: FakeRedis) -> None:
    gateway, http = stage
    authenticator = gateway.access.authenticator
    assert isinstance(authenticator, KeyAuthenticator)
    looks = 0
    real = client.hgetall

    async def counted(name: str) -> dict[bytes, bytes]:
        nonlocal looks
        looks += 1
        return cast("dict[bytes, bytes]", await cast("Any", real(name)))

    client.hgetall = counted  # type: ignore[method-assign,assignment]
    authenticator._look_for_new = ThrottledRead(authenticator.look, 0.05)
    before = authenticator._looks
    begun_s = time.monotonic()
    answers = await asyncio.gather(*(http.get("/jobs", headers=holder("x").headers) for _ in range(300)))
    took_s = time.monotonic() - begun_s
    assert {answer.status_code for answer in answers} == {401}
    assert authenticator._looks - before <= 2 + took_s / 0.05
    assert looks <= 1, "the version had not changed"


async def test_only_a_possible_new_key_causes_a_look(stage: Stage, client: FakeRedis) -> None:
    gateway, http = stage
    authenticator = gateway.access.authenticator
    assert isinstance(authenticator, KeyAuthenticator)
    revoked = holder("gone", revoked_at_ms=1)
    await keep(client, revoked)
    await authenticator.look()
    before = authenticator._looks
    wrong_secret = ANNA.token[:-3] + "xyz"
    for token in ("", "nonsense", "takt_", "takt_short_secret", wrong_secret, revoked.token):
        answer = await http.get("/jobs", headers={"x-api-key": token})
        assert answer.status_code == 401
    assert authenticator._looks == before


async def test_an_unknown_key_is_refused_soon_while_redis_is_away(stage: Stage, client: FakeRedis) -> None:
    _, http = stage
    client.server.connected = False
    answer = await http.get("/jobs", headers=holder("new").headers)
    assert answer.status_code == 401
    assert (await http.get("/models", headers=ANNA.headers)).status_code == 200


@pytest.mark.parametrize("more", [b"5,3,1,0.2\n" * 20, b""])
async def test_a_key_that_is_revoked_during_an_upload_breaks_it_off(
    stage: Stage, client: FakeRedis, more: bytes
) -> None:
    """The upload fails at the next chunk, or at the seal."""
    gateway, http = stage
    authenticator = gateway.access.authenticator
    assert isinstance(authenticator, KeyAuthenticator)

    async def body() -> AsyncIterator[bytes]:
        yield b"sepal_length,sepal_width,petal_length,petal_width\n5,3,1,0.2\n"
        revoked = msgspec.structs.replace(ANNA.record, revoked_at_ms=2)
        raw: Any = client
        await raw.hset(keys.access_keys(), revoked.id, encode_key(revoked))
        await raw.incr(keys.access_version())
        await authenticator.look()
        yield more

    headers = ANNA.headers | {"content-type": "text/csv"}
    refused = await http.post("/jobs?model=iris", content=body(), headers=headers)
    assert (refused.status_code, refused.json()["error"]) == (401, "unauthorized")
    job = (await http.get(refused.headers["location"], headers=ADMIN.headers)).json()
    assert (job["state"], job["error"]["code"]) == ("failed", "unauthorized")


async def test_an_idempotency_key_is_its_owners(stage: Stage) -> None:
    _, http = stage
    once = {"idempotency-key": "lot 7"}
    first = await http.post("/jobs", json=submission(3), headers=ANNA.headers | once)
    other = await http.post("/jobs", json=submission(3), headers=BERT.headers | once)
    assert first.json()["id"] != other.json()["id"]


async def test_only_the_owner_learns_that_a_job_has_expired(stage: Stage, client: FakeRedis) -> None:
    _, http = stage
    job = await ended_job(stage)
    raw: Any = client
    await raw.delete(keys.job(job["id"]))
    await raw.hset(keys.job(job["id"]), mapping={"state": "expired", "owner": "anna"})
    path = job["links"]["self"]
    assert (await http.get(path, headers=ANNA.headers)).status_code == 410
    assert (await http.get(path, headers=BERT.headers)).status_code == 404


async def test_an_admin_sees_everybodys_jobs(stage: Stage) -> None:
    _, http = stage
    job = await ended_job(stage)
    listed = (await http.get("/jobs", headers=ADMIN.headers)).json()["jobs"]
    assert [one["id"] for one in listed] == [job["id"]]
    assert (await http.get(job["links"]["results"], headers=ADMIN.headers)).status_code == 200
    assert (await http.delete(job["links"]["self"], headers=ADMIN.headers)).status_code == 204


async def test_a_key_that_is_limited_to_models_sees_no_other(stage: Stage) -> None:
    _, http = stage
    job = await ended_job(stage)
    assert (await http.get("/models", headers=LIMITED.headers)).json()["models"] == []
    for method, path in [
        ("GET", "/models/iris"),
        ("GET", "/models/iris/versions/1.0.0"),
        ("GET", "/model-info"),
        ("POST", "/predict"),
        ("POST", "/models/iris/predict/batch"),
        ("POST", "/jobs"),
        ("POST", "/jobs?model=iris"),
    ]:
        text = "model" in path and path.startswith("/jobs")
        answer = await http.request(
            method,
            path,
            content=b"1,2,3,4" if text else msgspec.json.encode(submission(1)),
            headers=LIMITED.headers | {"content-type": "text/csv" if text else "application/json"},
        )
        assert (answer.status_code, answer.json()["error"]) == (404, "model_not_found"), path
        assert "there are" not in answer.text, "it names no others"
    assert (await http.get(job["links"]["self"], headers=LIMITED.headers)).status_code == 404
    assert (await http.get("/jobs", headers=LIMITED.headers)).json()["jobs"] == []


async def test_a_prediction_becomes_a_job_only_with_the_role_submit(stage: Stage, client: FakeRedis) -> None:
    gateway, http = stage
    only = holder("only", "predict")
    await keep(client, only)
    await look(gateway)
    row = {"sepal_length": 5, "sepal_width": 3, "petal_length": 1, "petal_width": 0.2}
    later = {"prefer": "respond-async"}
    refused = await http.post("/predict", json=row, headers=only.headers | later)
    assert (refused.status_code, refused.json()["error"]) == (403, "forbidden")
    taken = await http.post("/predict", json=row, headers=ANNA.headers | later)
    assert taken.status_code == 202
    assert (await http.get(taken.headers["location"], headers=BERT.headers)).status_code == 404


async def look(gateway: Gateway) -> None:
    assert isinstance(gateway.access.authenticator, KeyAuthenticator)
    await gateway.access.authenticator.look()


async def test_a_revoked_key_is_invalid_after_the_next_look(stage: Stage, client: FakeRedis) -> None:
    gateway, http = stage
    assert (await http.get("/jobs", headers=BERT.headers)).status_code == 200
    await keep(client, Holder(msgspec.structs.replace(BERT.record, revoked_at_ms=5), BERT.token))
    await look(gateway)
    assert (await http.get("/jobs", headers=BERT.headers)).status_code == 401


async def test_a_key_runs_out_by_redis_clock_also_while_redis_is_away(client: FakeRedis) -> None:
    raw: Any = client
    seconds, _ = await raw.time()
    brief = holder("brief", expires_at_ms=(seconds + 60) * 1000)
    await keep(client, brief)
    clock = FakeClock()
    authenticator = KeyAuthenticator(client, clock)
    await authenticator.look()
    headers = bearing(brief.token.encode())
    assert authenticator.authenticate(headers).name == "brief"
    client.server.connected = False
    clock.now_s += 61
    authenticator.sort_out()
    with pytest.raises(UnauthorizedError):
        authenticator.authenticate(headers)


async def test_no_key_is_rejected_as_wrong_before_the_keys_could_be_read(client: FakeRedis) -> None:
    authenticator = KeyAuthenticator(client)
    with pytest.raises(QueueUnavailableError):
        authenticator.authenticate(bearing(ANNA.token.encode()))
    with pytest.raises(UnauthorizedError):
        authenticator.authenticate([])


async def test_an_unreadable_key_is_invalid_and_hides_no_other(client: FakeRedis) -> None:
    raw: Any = client
    await raw.hset(keys.access_keys(), "broken", b"{")
    await keep(client, ANNA)
    authenticator = KeyAuthenticator(client)
    await authenticator.look()
    assert authenticator.good_keys == 1


async def test_which_keys_were_used_is_noted_once_a_minute(client: FakeRedis) -> None:
    await keep(client, ANNA, BERT)
    authenticator = KeyAuthenticator(client)
    await authenticator.look()
    authenticator.authenticate(bearing(ANNA.token.encode()))
    raw: Any = client
    assert await raw.hgetall(keys.access_used()) == {}
    for _ in range(60):
        await authenticator.look()
    used = await raw.hgetall(keys.access_used())
    assert list(used) == [ANNA.record.id.encode()]


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({b"authorization": b"Bearer takt_1_2"}, b"takt_1_2"),
        ({b"authorization": b"bearer  takt_1_2 "}, b"takt_1_2"),
        ({b"x-api-key": b"takt_1_2"}, b"takt_1_2"),
        ({b"authorization": b"Digest x", b"x-api-key": b"takt_1_2"}, b"takt_1_2"),
        ({b"authorization": b"Basic bWU6dGFrdF8xXzI="}, None),
        ({b"authorization": b"Bearer"}, b""),
        ({}, None),
    ],
)
def test_a_key_is_taken_from_either_header(headers: dict[bytes, bytes], token: bytes | None) -> None:
    assert token_of(headers) == token


@pytest.mark.parametrize(
    "token", [b"", b"takt", b"takt_", b"takt__", b"x_1_2", b"\xff_\xff_\xff", b"takt_%s_wrong"]
)
async def test_a_token_that_is_not_ours_is_refused(client: FakeRedis, token: bytes) -> None:
    await keep(client, ANNA)
    authenticator = KeyAuthenticator(client)
    await authenticator.look()
    with pytest.raises(UnauthorizedError):
        authenticator.authenticate(bearing(token.replace(b"%s", ANNA.record.id.encode())))


def test_what_is_kept_of_a_key_does_not_hold_its_secret() -> None:
    secret = ANNA.token.split("_", 2)[2]
    assert secret.encode() not in encode_key(ANNA.record)
    assert decode_key(encode_key(ANNA.record)) == ANNA.record
    assert len(secret) >= 43, "256 bits"
    assert key_id_of(ANNA.token.encode()) == ANNA.record.id
    assert new_token()[1] != new_token()[1]


async def test_a_key_is_never_logged(stage: Stage) -> None:
    _, http = stage
    with structlog.testing.capture_logs() as events:
        for headers in (ANNA.headers, {"x-api-key": ANNA.token + "x"}):
            await http.get("/jobs", headers=headers)
            await http.post("/predict", content=b"{", headers=headers)
    assert ANNA.token.split("_", 2)[2] not in str(events)


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("mes", True),
        ("line-2.mes_x", True),
        ("anonymous", False),
        ("", False),
        ("A", False),
        ("a:b", False),
        ("a" * 64, False),
    ],
)
def test_a_name_fits_into_a_key_of_redis(name: str, fits: bool) -> None:
    assert is_name(name) is fits


def test_a_role_that_a_newer_takt_knows_makes_the_key_unreadable_not_powerful() -> None:
    text = encode_key(ANNA.record).replace(b'"read"', b'"sudo"')
    assert decode_key(text) is None


def settings(**changes: Any) -> Settings:
    return Settings(redis_url="redis://127.0.0.1:1/0", **changes)  # nobody listens there


@pytest.mark.parametrize(
    ("changes", "asks"),
    [
        ({}, False),
        ({"host": "::1"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "0.0.0.0", "access": "open"}, False),
        ({"access": "keys"}, True),
        ({"host": "0.0.0.0", "publish": "127.0.0.1:8000"}, False),
        ({"host": "0.0.0.0", "publish": "[::1]:8000"}, False),
        ({"host": "0.0.0.0", "publish": "0.0.0.0:8000"}, True),
        ({"host": "0.0.0.0", "publish": "8000"}, True),
    ],
)
def test_keys_are_asked_for_wherever_others_may_reach_the_gateway(
    changes: dict[str, Any], asks: bool
) -> None:
    assert settings(**changes).asks_for_keys() is asks


def test_a_gateway_that_others_reach_does_not_start_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[KeyRecord] = []
    monkeypatch.setattr("api.access.start_check.good_keys", lambda _: len(kept))
    with pytest.raises(OperatorError, match="takt keys create NAME"):
        check_access(settings(host="0.0.0.0"))
    check_access(settings(host="0.0.0.0", access="keys"))
    check_access(settings(host="0.0.0.0", access="open"))
    kept.append(ANNA.record)
    check_access(settings(host="0.0.0.0"))


def test_a_queue_that_does_not_answer_keeps_no_gateway_from_starting() -> None:
    check_access(settings(host="0.0.0.0"))


def test_by_default_a_key_has_all_roles_except_admin() -> None:
    assert ANNA.record.roles == {Role.PREDICT, Role.SUBMIT, Role.READ}
