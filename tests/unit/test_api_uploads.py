"""Files over HTTP: a job before the first byte, chunks before the last, nothing left where it breaks."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
from redis.exceptions import ConnectionError as ConnectionBroke

from api.gateway import Gateway
from shared.ledger import JobRecord, JobState
from shared.payloads import rows_path
from shared.tables import read_ipc
from tests.unit.gateway_fakes import FakeRedis, running_gateway, until
from tests.unit.job_stage import built, run_chunks, submission

Stage: TypeAlias = tuple[Gateway, httpx.AsyncClient]

HEADER = b"sepal_length,sepal_width,petal_length,petal_width\n"
CSV = HEADER + b"".join(b"%d,1,1,1\n" % i for i in range(5))
AS_CSV = {"content-type": "text/csv"}
KEY = {"idempotency-key": "lot-7"}


@pytest.fixture
def client() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
async def stage(client: FakeRedis, tmp_path: Path) -> AsyncIterator[Stage]:
    built(tmp_path / "models")
    async with running_gateway(
        client,
        tmp_path / "payloads",
        models_dir=tmp_path / "models",
        chunk_rows=2,
        max_job_bytes=20_000_000,
        upload_idle_s=0.2,
        max_uploads=2,
    ) as (gateway, http):
        gateway.ledger._ring = lambda _key, _count: None  # nobody hears Celery here
        await until(lambda: gateway.link.up)
        yield gateway, http


async def post(
    http: httpx.AsyncClient, body: Any, headers: dict[str, str] = AS_CSV, **query: Any
) -> httpx.Response:
    return await http.post("/jobs", params={"model": "iris"} | query, content=body, headers=headers)


async def stored_rows(gateway: Gateway, job_id: str) -> list[float]:
    chunks = await gateway.ledger.chunks(job_id)
    tables = [read_ipc(gateway.payloads.get(rows_path(job_id, chunk.index))) for chunk in chunks]
    return [value for table in tables for value in table["sepal_length"].to_pylist()]


async def accepted_rows(gateway: Gateway) -> int:
    """Rows of the newest job, once some are stored."""
    for _ in range(1000):
        jobs = await gateway.ledger.newest(None, before_ms=None, most=1)
        if jobs and jobs[0].rows_accepted:
            return jobs[0].rows_accepted
        await asyncio.sleep(0.005)
    raise AssertionError("no row was stored")


def objects(folder: Path) -> list[Path]:
    # os.walk passes over a folder that goes meanwhile
    return [Path(at) / name for at, _, names in os.walk(folder / "payloads") for name in names]


async def job_of(http: httpx.AsyncClient, answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(answer.headers["location"])).json()
    return found


async def test_a_csv_becomes_a_job_with_its_terms(stage: Stage) -> None:
    gateway, http = stage
    answer = await post(
        http, CSV, reference="lot 7", tag=["a", "b"], priority=8, max_errors="1", expires_in_s=60
    )
    assert (answer.status_code, answer.headers["retry-after"].isdigit()) == (202, True)
    job = answer.json()
    assert (job["state"], job["rows_total"], job["tags"]) == ("queued", 5, ["a", "b"])
    assert (job["reference"], job["priority"]) == ("lot 7", 8)
    assert await stored_rows(gateway, job["id"]) == [0, 1, 2, 3, 4]
    assert [c.rows for c in await gateway.ledger.chunks(job["id"])] == [2, 2, 1]


async def test_a_form_with_a_packed_file_becomes_a_job(stage: Stage) -> None:
    gateway, http = stage
    answer = await http.post(
        "/jobs",
        data={"model": "iris", "delimiter": ";", "tag": "a"},
        files={"file": ("lot.csv.gz", gzip.compress(CSV.replace(b",", b";")), "application/gzip")},
    )
    assert answer.status_code == 202, answer.text
    assert await stored_rows(gateway, answer.json()["id"]) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"--x\r\nContent-Disposition: form-data; name=model\r\n\r\niris\r\n--x--\r\n", "no file"),
        (b"--x\r\nContent-Disposition: form-data; name=f; filename=a.csv\r\n\r\n", "model"),
        (b"not a form", "not multipart"),
        (b"", "no file"),
    ],
)
async def test_a_form_that_lacks_something_is_refused(stage: Stage, body: bytes, said: str) -> None:
    _, http = stage
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = await http.post("/jobs", content=body, headers=headers)
    assert (answer.status_code, said in answer.text) == (422, True), answer.text


async def test_a_form_that_is_cut_off_fails_its_job(stage: Stage, tmp_path: Path) -> None:
    _, http = stage
    head = b"--x\r\nContent-Disposition: form-data; name=f; filename=a.csv\r\n\r\n"
    answer = await post(http, head + CSV, {"content-type": "multipart/form-data; boundary=x"})
    assert (answer.status_code, "cut off" in answer.text) == (422, True), answer.text
    assert (await job_of(http, answer))["state"] == "failed"
    assert objects(tmp_path) == []


@pytest.mark.parametrize(
    "headers", [{"content-type": "application/pdf"}, AS_CSV | {"content-encoding": "br"}]
)
async def test_an_unknown_format_is_refused_with_those_that_are_read(
    stage: Stage, headers: dict[str, str]
) -> None:
    _, http = stage
    answer = await post(http, CSV, headers)
    assert (answer.status_code, answer.json()["error"]) == (415, "unsupported_media_type")
    assert "text/csv" in answer.text or "gzip" in answer.text


@pytest.mark.parametrize(
    ("query", "status"), [({"model": "nope"}, 404), ({"priority": "11"}, 422), ({"colour": "red"}, 422)]
)
async def test_a_wrong_parameter_makes_no_job(
    stage: Stage, client: FakeRedis, query: dict[str, str], status: int
) -> None:
    _, http = stage
    assert (await post(http, CSV, AS_CSV, **query)).status_code == status
    assert [key for key in await client.keys("*job*") if b":job:" in key] == []


async def test_workers_may_start_before_the_upload_ends(stage: Stage) -> None:
    gateway, http = stage
    seen: list[int] = []

    async def slow() -> AsyncIterator[bytes]:
        yield HEADER + b"1,1,1,1\n" * 300_000  # more than two blocks of the parser
        (job,) = await gateway.ledger.newest(None, before_ms=None, most=5)
        assert job.state is JobState.UPLOADING
        while not seen:
            chunks = await gateway.ledger.chunks(job.id)
            seen.extend(chunk.rows for chunk in chunks)
            await asyncio.sleep(0.002)
        yield b"2,2,2,2\n"

    object.__setattr__(gateway.settings, "chunk_rows", 50_000)
    object.__setattr__(gateway.settings, "upload_idle_s", 30.0)
    answer = await post(http, slow())
    assert answer.json()["rows_total"] == 300_001
    assert 0 < seen[0] < 300_000


async def test_a_known_length_past_the_limit_is_refused_at_once(stage: Stage, client: FakeRedis) -> None:
    _, http = stage
    answer = await post(http, b"x" * 20_000_001)
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")
    assert [key for key in await client.keys("*job*") if b":job:" in key] == []


async def test_a_stream_past_the_limit_is_cut_and_its_chunks_removed(stage: Stage, tmp_path: Path) -> None:
    gateway, http = stage
    object.__setattr__(gateway.settings, "chunk_rows", 50_000)
    answer = await post(
        http, gzip.compress(HEADER + b"1,1,1,1\n" * 3_000_000), AS_CSV | {"content-encoding": "gzip"}
    )
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")
    job = await job_of(http, answer)
    assert (job["state"], job["error"]["code"]) == ("failed", "payload_too_large")
    assert objects(tmp_path) == []


async def test_a_file_that_cannot_be_read_fails_its_job_with_the_reason(stage: Stage, tmp_path: Path) -> None:
    _, http = stage
    answer = await post(http, b"a,b\n1,2\n", AS_CSV | KEY)
    assert (answer.status_code, answer.json()["error"]) == (422, "validation_error")
    job = await job_of(http, answer)
    assert job["state"] == "failed"
    assert "'sepal_length' is missing" in job["error"]["detail"]
    assert objects(tmp_path) == []
    assert (await post(http, CSV, AS_CSV | KEY)).status_code == 202  # the key is free again


async def _broken_off(stage: Stage, body: bytes) -> None:
    """A request whose client sends a part, and leaves once some of its rows are stored."""
    gateway, http = stage
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/jobs",
        "raw_path": b"/jobs",
        "query_string": b"model=iris",
        "headers": [(b"content-type", b"text/csv"), (b"idempotency-key", b"lot-7")],
    }
    waiting = [{"type": "http.request", "body": body, "more_body": True}]

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop()
        await accepted_rows(gateway)
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None: ...

    await http._transport.app(scope, receive, send)  # type: ignore[attr-defined]


async def test_an_upload_that_breaks_off_fails_and_leaves_nothing(stage: Stage, tmp_path: Path) -> None:
    gateway, http = stage
    object.__setattr__(gateway.settings, "chunk_rows", 50_000)
    body = HEADER + b"1,1,1,1\n" * 300_000
    await _broken_off(stage, body)
    (job,) = await gateway.ledger.newest(None, before_ms=None, most=5)
    assert job.error is not None
    assert (job.state, job.error.code) == (JobState.FAILED, "upload_interrupted")
    assert job.rows_accepted > 0
    assert objects(tmp_path) == []
    assert (await post(http, CSV, AS_CSV | KEY)).status_code == 202  # the key is free again


async def test_an_upload_that_stands_still_is_broken_off(stage: Stage) -> None:
    _, http = stage
    hung = asyncio.Event()

    async def standing() -> AsyncIterator[bytes]:
        yield HEADER
        await hung.wait()

    answer = await post(http, standing())
    assert (answer.status_code, answer.json()["error"]) == (408, "upload_interrupted")
    assert (await job_of(http, answer))["error"]["code"] == "upload_interrupted"


async def test_an_upload_whose_job_is_canceled_ends_with_the_job(stage: Stage) -> None:
    gateway, http = stage

    async def canceled() -> AsyncIterator[bytes]:
        yield HEADER + b"1,1,1,1\n" * 200_000
        (job,) = await gateway.ledger.newest(None, before_ms=None, most=5)
        await gateway.ledger.cancel(job.id)
        yield HEADER + b"1,1,1,1\n" * 200_000

    object.__setattr__(gateway.settings, "chunk_rows", 50_000)
    answer = await post(http, canceled())
    assert (answer.status_code, answer.json()["state"]) == (202, "canceled")


async def test_the_same_key_and_body_are_the_same_job_however_they_are_packed(stage: Stage) -> None:
    gateway, http = stage
    first = await post(http, CSV, AS_CSV | KEY)
    again = await post(http, CSV, AS_CSV | KEY)
    packed = await post(http, gzip.compress(CSV), AS_CSV | KEY | {"content-encoding": "gzip"})
    for answer in (again, packed):
        assert (answer.status_code, answer.headers["idempotent-replayed"]) == (202, "true")
        assert answer.headers["location"] == first.headers["location"]
    assert "idempotent-replayed" not in first.headers
    await run_chunks(gateway, first.json()["id"])
    over = await post(http, CSV, AS_CSV | KEY)
    assert (over.status_code, over.json()["state"]) == (200, "succeeded")


async def test_the_same_form_sent_again_is_the_same_job(stage: Stage) -> None:
    _, http = stage
    answers = [
        await http.post("/jobs", data={"model": "iris"}, files={"file": ("lot.csv", CSV)}, headers=KEY)
        for _ in range(2)  # httpx draws a boundary each time
    ]
    assert answers[0].headers["location"] == answers[1].headers["location"]


@pytest.mark.parametrize("query", [{}, {"priority": "9"}])
async def test_the_same_key_with_another_body_or_other_terms_is_a_conflict(
    stage: Stage, query: dict[str, str]
) -> None:
    _, http = stage
    await post(http, CSV, AS_CSV | KEY)
    answer = await post(http, CSV if query else CSV + b"9,9,9,9\n", AS_CSV | KEY, **query)
    assert (answer.status_code, answer.json()["error"]) == (409, "idempotency_conflict")


async def test_a_key_whose_first_body_is_still_coming_is_in_progress(stage: Stage) -> None:
    _, http = stage
    answers: list[httpx.Response] = []

    async def slow() -> AsyncIterator[bytes]:
        yield CSV
        answers.append(await post(http, CSV, AS_CSV | KEY))

    assert (await post(http, slow(), AS_CSV | KEY)).status_code == 202
    assert (answers[0].status_code, answers[0].json()["error"]) == (409, "idempotency_in_progress")
    assert int(answers[0].headers["retry-after"]) > 0


@pytest.mark.parametrize("kind", ["csv", "json"])
async def test_a_job_whose_sealing_was_not_heard_of_is_the_same_job_when_it_is_sent_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    gateway, http = stage
    seal = gateway.ledger.seal

    async def sealed_unheard(job_id: str, **options: Any) -> JobRecord:
        await seal(job_id, **options)
        raise ConnectionBroke("it broke before the answer")

    async def send() -> httpx.Response:
        if kind == "csv":
            return await post(http, CSV, AS_CSV | KEY)
        return await http.post("/jobs", json=submission(5), headers=KEY)

    with monkeypatch.context() as broken:
        broken.setattr(gateway.ledger, "seal", sealed_unheard)
        assert (await send()).status_code == 503
    again = await send()
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    await run_chunks(gateway, again.json()["id"])
    assert (await job_of(http, again))["rows_succeeded"] == 5


async def test_a_key_whose_gateway_died_before_it_sealed_the_job_is_in_progress_and_not_accepted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, http = stage

    async def unreachable(*_: object, **_options: object) -> None:
        raise ConnectionBroke("it is gone")

    monkeypatch.setattr(gateway.ledger, "seal", unreachable)
    monkeypatch.setattr(gateway.ledger, "fail_job", unreachable)
    assert (await post(http, CSV, AS_CSV | KEY)).status_code == 503
    again = await post(http, CSV, AS_CSV | KEY)
    assert (again.status_code, again.json()["error"]) == (409, "idempotency_in_progress")


async def test_an_upload_that_broke_off_with_the_queue_can_be_sent_again_once_that_is_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gateway, http = stage

    async def unreachable(*_: object, **_options: object) -> None:
        raise ConnectionBroke("it is gone")

    with monkeypatch.context() as gone:
        gone.setattr(gateway.ledger, "append_chunks", unreachable)
        gone.setattr(gateway.ledger, "fail_job", unreachable)
        broken = await post(http, CSV, AS_CSV | KEY)
    assert broken.status_code == 503
    await until(lambda: not objects(tmp_path), limit_s=5)
    assert (await job_of(http, broken))["error"]["code"] == "queue_unavailable"
    again = await post(http, CSV, AS_CSV | KEY)
    assert (again.status_code, "idempotent-replayed" in again.headers) == (202, False)
    assert await stored_rows(gateway, again.json()["id"]) == [0, 1, 2, 3, 4]


async def test_json_jobs_obey_the_key_too(stage: Stage) -> None:
    _, http = stage
    first = await http.post("/jobs", json=submission(3), headers=KEY)
    again = await http.post("/jobs", json=submission(3), headers=KEY)
    other = await http.post("/jobs", json=submission(4), headers=KEY)
    assert first.headers["location"] == again.headers["location"]
    assert (again.headers["idempotent-replayed"], other.status_code) == ("true", 409)
    assert (
        await http.post("/jobs", json=submission(3), headers={"idempotency-key": "x" * 256})
    ).status_code == 422


async def test_a_packed_json_body_is_unpacked(stage: Stage) -> None:
    _, http = stage
    body = gzip.compress(json.dumps(submission(3)).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert (await http.post("/jobs", content=body, headers=headers)).json()["rows_total"] == 3
    assert (await http.post("/jobs", content=body[:-9], headers=headers)).status_code == 422


async def test_validate_only_reports_and_leaves_no_job(
    stage: Stage, client: FakeRedis, tmp_path: Path
) -> None:
    _, http = stage
    report = (await post(http, CSV + b"x,1,1,1\n", validate_only="true")).json()
    assert (report["valid"], report["rows_total"], report["rows_invalid"]) == (False, 6, 1)
    assert report["problems"] == [{"row": 5, "reason": "sepal_length: 'x' is not a number"}]
    rows = submission(2, validate_only=True)
    rows["inputs"].append([1, 1, 1])
    report = (await http.post("/jobs", json=rows)).json()
    assert (report["valid"], report["rows_valid"], report["problems"][0]["row"]) == (False, 2, 2)
    assert [key for key in await client.keys("*job*") if b":job:" in key] == []
    assert objects(tmp_path) == []


async def test_who_waits_gets_the_finished_job(stage: Stage) -> None:
    gateway, http = stage

    async def work() -> None:
        for _ in range(1000):
            jobs = await gateway.ledger.newest(None, before_ms=None, most=1)
            if jobs and jobs[0].rows_total is not None:
                return await run_chunks(gateway, jobs[0].id)
            await asyncio.sleep(0.005)

    working = asyncio.create_task(work())
    answer = await post(http, CSV, AS_CSV | {"prefer": "wait=5"})
    await working
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
    assert answer.headers["preference-applied"] == "wait=5"


async def test_who_waits_too_short_gets_the_job_as_it_is(stage: Stage) -> None:
    _, http = stage
    answer = await post(http, CSV, AS_CSV | {"prefer": "wait=0"})
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")


async def test_a_prediction_that_prefers_so_becomes_a_job(stage: Stage) -> None:
    _, http = stage
    headers = {"prefer": "respond-async"}
    one = {"sepal_length": 1, "sepal_width": 1, "petal_length": 1, "petal_width": 1}
    for path, body, rows in (("/predict", one, 1), ("/models/iris/predict/batch", {"inputs": [one, one]}, 2)):
        answer = await http.post(path, json=body, headers=headers)
        assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async")
        job = await job_of(http, answer)
        assert (job["state"], job["rows_total"]) == ("queued", rows)
    assert (await http.post("/predict", json={}, headers=headers)).status_code == 422


async def test_no_more_uploads_are_read_at_a_time_than_there_are_threads(stage: Stage) -> None:
    _, http = stage
    answers: list[httpx.Response] = []

    async def nested(depth: int) -> AsyncIterator[bytes]:
        yield CSV
        answers.append(await post(http, nested(depth - 1) if depth else CSV))

    assert (await post(http, nested(1))).status_code == 202
    assert [answer.status_code for answer in answers] == [503, 202]
