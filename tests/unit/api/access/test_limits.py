"""Quotas of keys: requests per period and rows per day, counted for all gateways together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from api.access.authenticator import KeyAuthenticator
from api.access.limits import quota_of
from api.gateway import Gateway
from api.jobs.idempotency import reservation_name
from shared.api_keys import is_rate
from tests.support.access import Holder, holder, keep
from tests.unit.gateway_fakes import IRIS, IRIS_ROW, FakeRedis, FakeWorker, serving
from tests.unit.job_stage import job_stage, submission

FREE = holder("free")
SLOW = holder("slow", rate="3/day")
FEW = holder("few", rows_per_day=10)
BOTH = holder("both", rate="100/second", rows_per_day=1000)

Stage = tuple[Gateway, httpx.AsyncClient]


@pytest.fixture
def client() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
async def stage(client: FakeRedis, tmp_path: Path) -> AsyncIterator[Stage]:
    await keep(client, FREE, SLOW, FEW, BOTH)
    async with job_stage(client, tmp_path, access="keys") as (gateway, http):
        assert isinstance(gateway.access.authenticator, KeyAuthenticator)
        await gateway.access.authenticator.look()
        async with serving(FakeWorker(client, IRIS), gateway):
            yield gateway, http


async def predict(http: httpx.AsyncClient, key: Holder, rows: int = 1) -> httpx.Response:
    return await http.post("/predict/batch", json={"inputs": [[5, 3, 1, 0.2]] * rows}, headers=key.headers)


async def test_past_its_rate_a_key_is_refused_with_a_time_and_another_is_not(stage: Stage) -> None:
    _, http = stage
    for left in (2, 1, 0):
        answer = await http.post("/predict", json=IRIS_ROW, headers=SLOW.headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers["ratelimit-policy"] == '"requests";q=3;w=86400'
        assert answer.headers["ratelimit"].startswith(f'"requests";r={left};t=')
    for method, path in (("POST", "/predict"), ("GET", "/jobs"), ("POST", "/jobs")):
        refused = await http.request(method, path, json=submission(1), headers=SLOW.headers)
        assert (refused.status_code, refused.json()["error"]) == (429, "rate_limited"), path
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["ratelimit"].startswith('"requests";r=0;t=')
    assert (await http.get("/health")).status_code == 200
    assert (await predict(http, FREE)).status_code == 200


async def test_rows_of_predictions_and_jobs_count_against_the_days_rows(stage: Stage) -> None:
    _, http = stage
    answer = await predict(http, FEW, 4)
    assert answer.status_code == 200
    assert '"rows";r=6' in answer.headers["ratelimit"]
    assert (await http.post("/jobs", json=submission(5), headers=FEW.headers)).status_code == 202
    refused = await predict(http, FEW, 2)
    assert (refused.status_code, refused.json()["error"]) == (429, "rate_limited")
    assert (await predict(http, FEW, 1)).status_code == 200, "what was refused is not counted"
    jobs = (await http.get("/jobs", headers=FEW.headers)).json()["jobs"]
    refused = await http.post("/jobs", json=submission(5), headers=FEW.headers)
    assert refused.status_code == 429
    assert (await http.get("/jobs", headers=FEW.headers)).json()["jobs"] == jobs, "there is no job of it"


async def test_a_job_that_was_refused_for_its_rows_may_be_sent_again_under_its_key(stage: Stage) -> None:
    gateway, http = stage
    headers = FEW.headers | {"Idempotency-Key": "again"}
    assert (await predict(http, FEW, 8)).status_code == 200
    for _ in range(2):
        refused = await http.post("/jobs", json=submission(5), headers=headers)
        assert (refused.status_code, refused.json()["error"]) == (429, "rate_limited")
    assert (await http.post("/jobs", json=submission(2), headers=headers)).status_code == 202
    name = reservation_name(FEW.record.name, "again")
    assert not await gateway.jobs.ledger.unreserve(name, "of another job")


async def test_more_rows_than_a_day_has_are_too_many_at_any_time(stage: Stage) -> None:
    _, http = stage
    refused = await predict(http, FEW, 11)
    assert (refused.status_code, refused.json()["error"]) == (413, "payload_too_large")


async def test_a_file_that_runs_over_the_days_rows_fails_its_job(stage: Stage) -> None:
    _, http = stage
    csv = "sepal_length,sepal_width,petal_length,petal_width\n" + "5,3,1,0.2\n" * 25
    headers = FEW.headers | {"content-type": "text/csv"}
    refused = await http.post("/jobs?model=iris", content=csv, headers=headers)
    assert (refused.status_code, refused.json()["error"]) == (429, "rate_limited")
    job = (await http.get(refused.headers["location"], headers=FEW.headers)).json()
    assert (job["state"], job["error"]["code"]) == ("failed", "rate_limited")


async def test_a_file_of_a_key_that_has_no_rows_left_makes_no_job(stage: Stage) -> None:
    gateway, http = stage
    assert (await predict(http, FEW, 10)).status_code == 200
    headers = FEW.headers | {"content-type": "text/csv"}
    csv = "sepal_length,sepal_width,petal_length,petal_width\n5,3,1,0.2\n"
    refused = await http.post("/jobs?model=iris", content=csv, headers=headers)
    assert (refused.status_code, refused.json()["error"]) == (429, "rate_limited")
    assert "location" not in refused.headers
    assert await gateway.jobs.ledger.newest(None, before_ms=None, most=5) == []


async def test_a_key_without_limits_costs_no_round_trip(stage: Stage, client: FakeRedis) -> None:
    _, http = stage
    assert (await predict(http, FREE)).status_code == 200
    assert [key for key in await client.keys("*") if b"limits" in key] == []
    assert "ratelimit-policy" not in (await predict(http, FREE)).headers


async def test_the_answer_names_every_limit(stage: Stage) -> None:
    _, http = stage
    answer = await predict(http, BOTH)
    policy = '"requests";q=100;w=1, "rows";q=1000;w=86400'
    assert answer.headers["ratelimit-policy"] == policy
    assert [part[: part.index(";")] for part in answer.headers.get_list("ratelimit")] == [
        '"requests"',
        '"rows"',
    ]


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("100/second", True),
        ("5000/hour", True),
        ("0/second", False),
        ("5", False),
        ("5/week", False),
        ("-1/day", False),
    ],
)
def test_a_rate_is_a_number_and_a_while(text: str, fits: bool) -> None:
    assert is_rate(text) is fits
    if fits:
        quota = quota_of(holder("x", rate=text).record)
        assert quota is not None
        assert quota.requests is not None
        assert text == f"{quota.requests.amount}/{quota.requests.GRANULARITY.name}"
