"""An owner's share, from its stored settings to the gateway's admission."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from api.access.authenticator import KeyAuthenticator
from api.access.principal import ANONYMOUS
from api.gateway import Gateway
from shared import keys
from shared.api_keys import Share, decode_share, encode_share
from shared.errors import InvalidInputError
from shared.key_requests import ShareChange, changed
from stack.key_commands import _share_text as as_text
from tests.support.access import Holder, holder, keep
from tests.unit.gateway_fakes import IRIS, FakeRedis, FakeWorker, serving
from tests.unit.job_stage import job_stage, submission

FEW, SAME_OWNER, FREE = holder("few"), holder("few"), holder("free")
CSV = "sepal_length,sepal_width,petal_length,petal_width\n" + "5,3,1,0.2\n"

Stage = tuple[Gateway, httpx.AsyncClient]


@pytest.fixture
def client() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
async def stage(client: FakeRedis, tmp_path: Path) -> AsyncIterator[Stage]:
    await keep(client, FEW, SAME_OWNER, FREE)
    await client.hset(keys.access_shares(), "few", encode_share(Share(max_jobs=2, weight=3)))
    async with job_stage(client, tmp_path, access="keys", chunk_rows=1000) as (gateway, http):
        assert isinstance(gateway.access.authenticator, KeyAuthenticator)
        await gateway.access.authenticator.look()
        async with serving(FakeWorker(client, IRIS), gateway):
            yield gateway, http


async def submit(http: httpx.AsyncClient, key: Holder, rows: int = 1, **headers: str) -> httpx.Response:
    return await http.post(
        "/jobs", json=submission(1, inputs=[[5, 3, 1, 1]] * rows), headers=key.headers | headers
    )


@pytest.mark.parametrize("rows", [1, 500])
async def test_a_job_more_than_an_owner_may_have_is_429_and_makes_none(stage: Stage, rows: int) -> None:
    gateway, http = stage
    assert (await submit(http, FEW, rows)).status_code == 202
    second = await submit(http, SAME_OWNER, rows)
    assert second.status_code == 202
    for key in (FEW, SAME_OWNER):
        refused = await submit(http, key, rows)
        assert (refused.status_code, refused.json()["error"]) == (429, "too_many_jobs")
        assert int(refused.headers["retry-after"]) > 0
        assert "2 jobs" in refused.json()["detail"]
    assert len((await http.get("/jobs", headers=FEW.headers)).json()["jobs"]) == 2
    assert (await submit(http, FREE, rows)).status_code == 202
    await gateway.jobs.ledger.cancel(second.json()["id"])
    assert (await submit(http, FEW, rows)).status_code == 202


async def test_a_file_of_an_owner_with_as_many_jobs_as_it_may_have_makes_no_job(stage: Stage) -> None:
    _, http = stage
    headers = FEW.headers | {"content-type": "text/csv", "Idempotency-Key": "file"}
    accepted = [await submit(http, FEW), await submit(http, FEW)]
    for _ in range(2):
        refused = await http.post("/jobs?model=iris", content=CSV, headers=headers)
        assert (refused.status_code, refused.json()["error"]) == (429, "too_many_jobs")
        assert "location" not in refused.headers
    await http.post(f"/jobs/{accepted[0].json()['id']}/cancel", headers=FEW.headers)
    assert (await http.post("/jobs?model=iris", content=CSV, headers=headers)).status_code == 202


@pytest.mark.parametrize("rows", [1, 500])
async def test_a_refused_job_may_be_sent_again_under_its_key(stage: Stage, rows: int) -> None:
    _, http = stage
    first = (await submit(http, FEW)).json()["id"]
    await submit(http, FEW)
    named = {"Idempotency-Key": "again"}
    for _ in range(2):
        assert (await submit(http, FEW, rows, **named)).json()["error"] == "too_many_jobs"
    await http.post(f"/jobs/{first}/cancel", headers=FEW.headers)
    made = await submit(http, FEW, rows, **named)
    assert made.status_code == 202
    assert (await submit(http, FEW, rows, **named)).json()["id"] == made.json()["id"], "a replay makes none"


async def test_chunks_are_cut_so_that_they_fit_into_what_may_run_at_once(
    stage: Stage, client: FakeRedis
) -> None:
    gateway, http = stage
    assert isinstance(gateway.access.authenticator, KeyAuthenticator)
    most = gateway.catalog.find("iris", None, ANONYMOUS).spec.batching.max_rows
    await client.hset(keys.access_shares(), "free", encode_share(Share(max_running_rows=most + 1)))
    await client.incr(keys.access_version())
    await gateway.access.authenticator.look()
    for key, rows in ((FREE, [most + 1, most - 1]), (FEW, [2 * most])):
        made = await submit(http, key, 2 * most)
        chunks = await gateway.jobs.ledger.chunks(made.json()["id"])
        assert [chunk.rows for chunk in chunks] == rows


async def test_a_gateway_knows_an_owners_new_weight_at_its_next_look(stage: Stage, client: FakeRedis) -> None:
    gateway, _ = stage
    assert isinstance(gateway.access.authenticator, KeyAuthenticator)
    headers = [(name.encode(), value.encode()) for name, value in FEW.headers.items()]
    assert gateway.access.authenticator.authenticate(headers).share.weight == 3
    await client.hset(keys.access_shares(), "few", encode_share(Share(weight=0.5)))
    await client.incr(keys.access_version())
    await gateway.access.authenticator.look()
    assert gateway.access.authenticator.authenticate(headers).share.weight == 0.5


def test_what_is_not_named_stays_and_a_limit_of_nothing_is_none() -> None:
    share = Share(weight=2, max_running_rows=100, max_jobs=5)
    assert changed(share, ShareChange(weight=3)) == Share(weight=3, max_running_rows=100, max_jobs=5)
    assert changed(share, ShareChange(max_jobs=0)) == Share(weight=2, max_running_rows=100)
    assert changed(share, ShareChange(max_running_rows=7)) == Share(weight=2, max_running_rows=7, max_jobs=5)


@pytest.mark.parametrize("weight", [0, -1, float("inf"), float("nan")])
def test_a_weight_is_a_number_above_nothing(weight: float) -> None:
    with pytest.raises(InvalidInputError, match="is not a weight"):
        changed(Share(), ShareChange(weight=weight))


def test_a_share_in_words_names_the_differences_from_the_default() -> None:
    assert as_text(Share()) == ""
    assert as_text(Share(weight=2, max_running_rows=100, max_jobs=5)) == "weight 2, 100 running rows, 5 jobs"


def test_a_share_that_cannot_be_read_is_the_default() -> None:
    assert decode_share(b"{no json") == Share()
    assert decode_share(encode_share(Share(weight=2))) == Share(weight=2)
