"""Job submission over HTTP: validation before storage, ordered results, ownership."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from starlette.types import Receive, Scope, Send

from api.access.principal import Principal, set_principal
from api.gateway import Gateway
from api.jobs.doorbell import Doorbell
from api.jobs.json_chunks import Submission, chunks_of, read_submission
from shared.arrow_tables import read_ipc
from shared.errors import InvalidInputError, PayloadStoreAwayError
from shared.ledger import ChunkRecord, ChunkState
from shared.payloads import result_path
from shared.settings import Settings
from shared.tabular.chunking import chunk_rows
from shared.tabular.result_pieces import pieces_of
from shared.validation import RowValidator
from tests.unit.gateway_fakes import IRIS, IRIS_KEY, FakeRedis
from tests.unit.job_stage import job_stage, run_chunks, submission

iris = RowValidator(IRIS)


@pytest.fixture
def client() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
async def stage(client: FakeRedis, tmp_path: Path) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    async with job_stage(client, tmp_path) as started:
        yield started


async def test_a_job_is_accepted_pinned_and_found_at_its_location(
    stage: tuple[Gateway, httpx.AsyncClient],
) -> None:
    _, http = stage
    answer = await http.post("/jobs", json=submission(5, reference="lot 7", tags=["mes"]))
    assert answer.status_code == 202
    assert int(answer.headers["retry-after"]) > 0
    job = (await http.get(answer.headers["location"])).json()
    assert job == answer.json()
    assert (job["state"], job["rows_total"], job["digest"]) == ("queued", 5, "ab" * 32)
    assert (job["version"], job["reference"], job["tags"]) == ("1.0.0", "lot 7", ["mes"])


async def test_results_come_in_the_order_of_the_inputs(stage: tuple[Gateway, httpx.AsyncClient]) -> None:
    gateway, http = stage
    job = (await http.post("/jobs", json=submission(5))).json()
    waiting = await http.get(job["links"]["results"])
    assert (waiting.status_code, waiting.json()["error"]) == (409, "results_not_ready")
    await run_chunks(gateway, job["id"], failing=3)
    done = (await http.get(job["links"]["self"])).json()
    assert (done["state"], done["rows_succeeded"], done["rows_failed"]) == ("succeeded", 4, 1)
    results = (await http.get(job["links"]["results"])).json()
    assert results == {
        "job_id": job["id"],
        "results": [
            {"error": "no such iris"} if i == 3 else {"prediction": "setosa", "confidence": float(i)}
            for i in range(5)
        ],
        "total_count": 5,
    }
    page = (await http.get(job["links"]["results"], params={"offset": 1, "limit": 2})).json()
    assert page["results"] == results["results"][1:3]
    beyond = (await http.get(job["links"]["results"], params={"offset": 9})).json()
    assert beyond == {"job_id": job["id"], "results": [], "total_count": 5}


@pytest.mark.parametrize("damage", ["missing", "cut off"])
async def test_a_result_that_is_lost_is_computed_again_from_its_rows(
    stage: tuple[Gateway, httpx.AsyncClient], damage: str
) -> None:
    gateway, http = stage
    job = (await http.post("/jobs", json=submission(3))).json()
    await run_chunks(gateway, job["id"])
    whole = (await http.get(job["links"]["results"])).json()
    await _lose_result(gateway, job["id"], damage)
    answer = await http.get(job["links"]["results"])
    assert (answer.status_code, answer.json()["error"]) == (409, "results_not_ready")
    assert "computed again" in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) >= 1
    assert "file:" not in answer.text
    assert (await http.get(job["links"]["self"])).json()["state"] == "running"
    await run_chunks(gateway, job["id"])
    assert (await http.get(job["links"]["results"])).json() == whole


async def test_a_store_that_is_away_has_no_result_computed_again(
    stage: tuple[Gateway, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, http = stage
    job = (await http.post("/jobs", json=submission(3))).json()
    await run_chunks(gateway, job["id"])

    def away(path: str) -> bytes:
        raise PayloadStoreAwayError(f"cannot read {path}")

    monkeypatch.setattr(gateway.jobs.payloads, "get", away)
    answer = await http.get(job["links"]["results"])
    assert (answer.status_code, answer.json()["error"]) == (503, "payload_unavailable")
    assert (await http.get(job["links"]["self"])).json()["state"] == "succeeded"


async def _lose_result(gateway: Gateway, job_id: str, damage: str) -> None:
    chunk, _ = await gateway.jobs.ledger.chunks(job_id)
    path = result_path(job_id, 0, chunk.token)
    data = gateway.jobs.payloads.get(path)
    gateway.jobs.payloads.remove(path)
    if damage == "cut off":
        gateway.jobs.payloads.put(path, data[: len(data) // 2])


async def test_an_invalid_row_is_refused_and_no_job_exists(
    stage: tuple[Gateway, httpx.AsyncClient], client: FakeRedis
) -> None:
    _, http = stage
    rows = [[1, 1, 1, 1]] * 3 + [[1, "x", 1, 1]]
    answer = await http.post("/jobs", json={"model": "iris", "inputs": rows})
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert (problem["row"], problem["field"]) == (3, "sepal_width")
    assert [key for key in await client.keys("*job*") if b":job:" in key] == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"model": "nope"}, 404),
        ({"version": "9.9.9"}, 404),
        ({"version": "../../iris/1.0.0"}, 404),
        ({"inputs": []}, 422),
        ({"inputs": 5}, 422),
        ({"model": 5}, 422),
        ({"unknown": 1}, 422),
        ({"tags": ["x"] * 21}, 422),
        ({"reference": "x" * 9_999}, 413),
    ],
)
async def test_a_wrong_submission_is_refused(
    stage: tuple[Gateway, httpx.AsyncClient], changes: dict[str, Any], status: int
) -> None:
    _, http = stage
    assert (await http.post("/jobs", json=submission(1) | changes)).status_code == status


async def test_anothers_job_is_not_found(stage: tuple[Gateway, httpx.AsyncClient]) -> None:
    _, http = stage
    job = (await http.post("/jobs", json=submission(1))).json()
    app = http._transport.app  # type: ignore[attr-defined]  # the application under test

    async def to_another(scope: Scope, receive: Receive, send: Send) -> None:
        set_principal(scope, Principal("another"))
        await app(scope, receive, send)

    http._transport.app = to_another  # type: ignore[attr-defined]
    for name, link in job["links"].items():
        answer = await http.request("POST" if name == "cancel" else "GET", link)
        assert answer.json()["error"] == "job_not_found"
    for method, link in (("PATCH", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")):
        answer = await http.request(method, job["links"]["self"] + link, json={"priority": 1})
        assert answer.json()["error"] == "job_not_found"


async def test_while_redis_is_away_jobs_are_refused_with_a_time(
    stage: tuple[Gateway, httpx.AsyncClient], client: FakeRedis
) -> None:
    _, http = stage
    client.server.connected = False
    answer = await http.post("/jobs", json=submission(1))
    assert (answer.status_code, answer.json()["error"]) == (503, "queue_unavailable")
    assert answer.headers["retry-after"]


def test_chunks_hold_all_rows_in_order_within_their_limits() -> None:
    rows = Submission(model="iris", inputs=[msgspec.Raw(b"[%d,1,1,1]" % (i % 10)) for i in range(2500)])
    by_rows = chunks_of(iris, rows, chunk_rows=1000, chunk_bytes=10**9)
    by_bytes = chunks_of(iris, rows, chunk_rows=10**9, chunk_bytes=32_000)
    assert [chunk.rows for chunk in by_rows] == [1000, 1000, 500]
    assert [chunk.rows for chunk in by_bytes] == [1000, 1000, 500]
    lengths = [v for chunk in by_rows for v in read_ipc(chunk.data)["sepal_length"].to_pylist()]
    assert lengths == [float(i % 10) for i in range(2500)]


def test_a_chunk_is_a_fifth_of_a_second_of_work_between_a_batch_and_the_limit() -> None:
    assert chunk_rows(10_000.0, least=64, most=50_000) == 2000
    assert chunk_rows(100.0, least=64, most=50_000) == 64
    assert chunk_rows(1e9, least=64, most=50_000) == 50_000
    assert chunk_rows(0.0, least=64, most=50_000) == 50_000, "nobody has measured it yet"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model":"\xff"}', b'{"model":"iris","inputs":[NaN]}'])
def test_a_body_that_is_no_submission_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidInputError):
        read_submission(body)


def test_a_submission_nested_too_deeply_is_invalid() -> None:
    with pytest.raises(InvalidInputError, match="not a job"):
        read_submission(b'{"model":"iris","inputs":[' + b"[" * 100_000)


def test_pieces_cover_exactly_the_rows_that_were_asked_for() -> None:
    chunks = [ChunkRecord(index=i, state=ChunkState.DONE, rows=3, attempts=1) for i in range(3)]

    def rows(offset: int, limit: int | None) -> list[int]:
        pieces = pieces_of(chunks, offset, limit)
        return [p.chunk.index * 3 + row for p in pieces for row in range(p.start, p.stop)]

    for offset in range(11):
        for limit in (None, 0, 1, 4, 20):
            stop = 9 if limit is None else offset + limit
            assert rows(offset, limit) == list(range(9))[offset:stop]


def test_a_doorbell_that_cannot_be_sent_disturbs_nobody() -> None:
    doorbell = Doorbell(Settings(redis_url="redis://127.0.0.1:1/0"))  # no server on this port
    doorbell.start()
    doorbell(IRIS_KEY, 3)
    doorbell.stop()
    assert not doorbell.running
