"""Jobs over HTTP: listing, events, partial results, control, deletion."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from api.gateway import Gateway
from api.routes.jobs.events import HEARTBEAT, watched
from api.routes.jobs.listing import Cursor, read_cursor
from shared import keys
from shared.errors import InvalidInputError
from shared.ledger import NewJob, new_job_id
from shared.payloads import rows_path
from tests.unit.gateway_fakes import IRIS_KEY, FakeRedis, until
from tests.unit.job_stage import (
    give_up_next,
    job_stage,
    run_chunks,
    run_small,
    stored_job,
    submission,
    worker_ledger,
)

LIMIT_S = 30.0

Stage = tuple[Gateway, httpx.AsyncClient]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with job_stage(FakeRedis(), tmp_path) as started:
        yield started


async def submitted(http: httpx.AsyncClient, rows: int = 5, **more: Any) -> str:
    answer = await http.post("/jobs", json=submission(rows, **more))
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


async def test_a_job_says_how_it_does_and_when_to_ask_again(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http)
    await run_chunks(gateway, job_id, most=1)
    answer = await http.get(f"/jobs/{job_id}")
    job = answer.json()
    assert (job["percent"], job["position"], job["waiting"]["reason"]) == (40.0, 1, "no_worker")
    assert job["rows_per_s"] > 0
    assert 1 <= int(answer.headers["Retry-After"]) <= 30
    await run_chunks(gateway, job_id)
    ended = await http.get(f"/jobs/{job_id}")
    assert "Retry-After" not in ended.headers
    assert (ended.json()["percent"], ended.json()["waiting"], ended.json()["position"]) == (100.0, None, None)
    assert ended.json()["expires_at"] > ended.json()["finished_at"]


async def test_who_knows_a_jobs_etag_gets_304_until_something_happens(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http)
    known = {"If-None-Match": (await http.get(f"/jobs/{job_id}")).headers["ETag"]}
    unchanged = await http.get(f"/jobs/{job_id}", headers=known)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["ETag"] == known["If-None-Match"]
    await run_chunks(gateway, job_id, most=1)
    assert (await http.get(f"/jobs/{job_id}", headers=known)).status_code == 200


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_if_match_is_true_for_an_existing_job_only_by_an_asterisk(stage: Stage, method: str) -> None:
    gateway, http = stage
    job_id = await submitted(http)
    if method == "DELETE":
        await run_chunks(gateway, job_id)
    body = {"priority": 9} if method == "PATCH" else None
    etag = (await http.get(f"/jobs/{job_id}")).headers["ETag"]
    assert etag.startswith("W/")  # If-Match compares strongly: a weak tag never matches
    for value in (etag, etag.removeprefix("W/"), '"x"', f"*, {etag}", ""):
        refused = await http.request(method, f"/jobs/{job_id}", headers={"If-Match": value}, json=body)
        assert (refused.status_code, refused.json()["error"]) == (412, "precondition_failed"), value
    lines = [("If-Match", "*"), ("If-Match", '"x"')]
    assert (await http.request(method, f"/jobs/{job_id}", headers=lines, json=body)).status_code == 412
    unchanged = (await http.get(f"/jobs/{job_id}")).json()
    assert unchanged["priority"] == 5
    there = await http.request(method, f"/jobs/{job_id}", headers={"If-Match": "*"}, json=body)
    assert there.status_code == (200 if method == "PATCH" else 204)


async def test_if_match_is_not_evaluated_where_the_request_fails_without_it(stage: Stage) -> None:
    gateway, http = stage
    gone = await http.delete("/jobs/nope", headers={"If-Match": '"x"'})
    assert (gone.status_code, gone.json()["error"]) == (404, "job_not_found")
    job_id = await submitted(http)
    running = await http.delete(f"/jobs/{job_id}", headers={"If-Match": '"x"'})
    assert (running.status_code, running.json()["error"]) == (409, "invalid_state")
    await run_chunks(gateway, job_id)
    ended = await http.patch(f"/jobs/{job_id}", json={"priority": 9}, headers={"If-Match": '"x"'})
    assert (ended.status_code, ended.json()["error"]) == (409, "invalid_state")


async def test_jobs_are_listed_newest_first_page_by_page(stage: Stage) -> None:
    _, http = stage
    made = [await submitted(http, 1, reference=f"lot {n % 2}", tags=[f"t{n}"]) for n in range(5)]

    async def listed(**asked: Any) -> list[str]:
        found: list[str] = []
        while True:
            page = (await http.get("/jobs", params=asked)).json()
            found += [job["id"] for job in page["jobs"]]
            if page["next"] is None:
                return found
            asked["cursor"] = page["next"]

    assert sorted(await listed()) == sorted(made)  # of the same ms, the order is that of the ids
    assert await listed(limit=1) == await listed(limit=2) == await listed()
    assert sorted(await listed(reference="lot 1", limit=1)) == sorted(made[1::2])
    assert await listed(tag="t3") == [made[3]]
    assert sorted(await listed(state="queued", model="iris")) == sorted(made)
    assert await listed(state="running") == await listed(model="nope") == []
    assert await listed(created_after="2100-01-01T00:00:00Z") == []
    assert len(await listed(created_after="2020-01-01", created_before="2100-01-01")) == 5
    assert await listed(created_before="2020-01-01T00:00:00") == []


async def test_of_many_jobs_of_one_millisecond_none_is_left_out(stage: Stage) -> None:
    gateway, http = stage
    made = {await submitted(http, 1) for _ in range(7)}
    index: Any = dict.fromkeys(made, 1000)
    await gateway.client.zadd(keys.owner_jobs("anonymous"), index)
    found: set[str] = set()
    cursor: dict[str, str] = {}
    for _ in range(9):
        page = (await http.get("/jobs", params={"limit": 2, **cursor})).json()
        found |= {job["id"] for job in page["jobs"]}
        cursor = {"cursor": page["next"]}
        if page["next"] is None:
            break
    assert found == made


@pytest.mark.parametrize(
    "asked", [{"cursor": "x"}, {"cursor": "ü"}, {"limit": 0}, {"limit": 201}, {"state": "gone"}]
)
async def test_a_list_that_nobody_can_make_is_refused(stage: Stage, asked: dict[str, Any]) -> None:
    _, http = stage
    answer = await http.get("/jobs", params=asked)
    assert (answer.status_code, answer.json()["error"]) == (422, "validation_error")


def test_a_cursor_is_read_as_it_was_written() -> None:
    cursor = Cursor(1772352000000, "ab" * 16)
    assert read_cursor(str(cursor)) == cursor
    with pytest.raises(InvalidInputError):
        read_cursor("bm8")


async def test_results_are_equal_in_every_format(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http)
    await run_chunks(gateway, job_id, failing=3)
    link = f"/jobs/{job_id}/results"
    expected = [
        {"row": n, "prediction": "setosa", "confidence": float(n), "error": None}
        if n != 3
        else {"row": 3, "prediction": None, "confidence": None, "error": "no such iris"}
        for n in range(5)
    ]
    lines = await http.get(link, headers={"Accept": "application/x-ndjson"})
    assert [json.loads(line) for line in lines.text.splitlines()] == expected
    assert lines.headers["Content-Disposition"] == f'attachment; filename="iris-{job_id[:8]}.ndjson"'
    arrow = await http.get(link, params={"format": "arrow"})
    assert pa.ipc.open_stream(arrow.content).read_all().to_pylist() == expected
    parquet = await http.get(link, params={"format": "parquet"})
    assert pa.parquet.read_table(pa.BufferReader(parquet.content)).to_pylist() == expected
    text = await http.get(link, headers={"Accept": "text/csv"})
    assert text.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert [row["confidence"] for row in csv.DictReader(io.StringIO(text.text))] == ["0", "1", "2", "", "4"]
    refused = await http.get(link, params={"format": "xlsx"})
    assert (refused.status_code, refused.json()["error"]) == (406, "not_acceptable")


async def test_a_page_of_a_file_holds_the_rows_that_were_asked_for(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http)
    await run_chunks(gateway, job_id)
    page: dict[str, str | int] = {"format": "ndjson", "offset": 1, "limit": 3}
    lines = (await http.get(f"/jobs/{job_id}/results", params=page)).text.splitlines()
    assert [json.loads(line)["row"] for line in lines] == [1, 2, 3]


async def test_the_id_and_kept_columns_come_back(stage: Stage) -> None:
    gateway, http = stage
    chunks = [
        [{"sepal_length": 0.0, "serial": "a", "error": 7}, {"sepal_length": 1.0, "serial": "b", "error": 8}],
        [{"sepal_length": 2.0, "serial": "c", "error": 9}],
    ]
    record = await stored_job(gateway, chunks, id_column="serial", keep_columns=("error",))
    await run_chunks(gateway, record.id, failing=1)
    results = (await http.get(f"/jobs/{record.id}/results")).json()["results"]
    assert results == [
        {"row": 0, "serial": "a", "input_error": 7, "prediction": "setosa", "confidence": 0.0},
        {"row": 1, "serial": "b", "input_error": 8, "error": "no such iris"},
        {"row": 2, "serial": "c", "input_error": 9, "prediction": "setosa", "confidence": 2.0},
    ]
    text = (await http.get(f"/jobs/{record.id}/results?format=csv&offset=2")).text
    assert text.splitlines()[0] == '"row","serial","input_error","prediction","confidence","error"'
    assert next(csv.DictReader(io.StringIO(text)))["serial"] == "c"
    errors = (await http.get(f"/jobs/{record.id}/errors")).json()
    assert errors["errors"] == [{"row": 1, "id": "b", "error": "no such iris"}]


async def test_partial_results_are_the_chunks_that_have_ended(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http)
    link = f"/jobs/{job_id}/results"
    assert (await http.get(link, params={"partial": True})).json()["results"] == []
    await run_chunks(gateway, job_id, most=1)
    give_up_next(gateway)
    assert (await http.get(link)).status_code == 409
    partial = (await http.get(link, params={"partial": True})).json()
    assert partial["total_count"] == 5
    given_up = "tried 1 times (TAKT_MAX_ATTEMPTS); no worker finished it"
    assert partial["results"] == [
        {"row": 0, "prediction": "setosa", "confidence": 0.0},
        {"row": 1, "prediction": "setosa", "confidence": 1.0},
        {"row": 2, "error": given_up},
        {"row": 3, "error": given_up},
    ]
    page = (await http.get(link, params={"partial": True, "offset": 1, "limit": 2})).json()["results"]
    assert page == partial["results"][1:3]
    await http.post(f"/jobs/{job_id}/cancel")
    canceled = await http.get(link)
    assert (canceled.status_code, "partial" in canceled.json()["detail"]) == (409, True)
    assert (await http.get(link, params={"partial": True})).json() == partial


async def test_partial_results_of_a_small_job_are_its_rows_once_it_has_run(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http, rows=2)
    link = f"/jobs/{job_id}/results"
    before = await http.get(link, params={"partial": True})
    assert (before.status_code, before.json()["results"], before.json()["total_count"]) == (200, [], 2)
    run_small(gateway, failing=1)
    partial = await http.get(link, params={"partial": True})
    assert partial.json()["results"] == [
        {"row": 0, "prediction": "setosa", "confidence": 0.0},
        {"row": 1, "error": "no such iris"},
    ]
    whole = (await http.get(link)).json()["results"]
    assert whole == [{"prediction": "setosa", "confidence": 0.0}, {"error": "no such iris"}]
    table = (await http.get(link, params={"partial": True, "format": "csv", "offset": 1})).text
    assert [row["row"] for row in csv.DictReader(io.StringIO(table))] == ["1"]


async def test_partial_results_of_a_small_job_that_failed_are_still_read(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http, rows=2, max_errors=0)
    run_small(gateway, failing=1)
    link = f"/jobs/{job_id}/results"
    assert (await http.get(link)).status_code == 409
    partial = (await http.get(link, params={"partial": True})).json()["results"]
    assert [row.get("prediction") for row in partial] == ["setosa", None]


async def test_of_a_job_whose_upload_failed_nothing_is_left_to_read_and_that_is_no_error(
    stage: Stage,
) -> None:
    gateway, http = stage
    new = NewJob(id=new_job_id(), model="iris", version="1.0.0", digest="d", owner="anonymous")
    await gateway.jobs.ledger.open_job(new)
    await gateway.jobs.ledger.append_chunks(new.id, new.key, [2, 2])
    held = worker_ledger(gateway).claim(IRIS_KEY)
    assert held is not None
    worker_ledger(gateway).commit(IRIS_KEY, held, rows_succeeded=1, rows_failed=1)
    await gateway.jobs.ledger.fail_job(new.id, "upload_interrupted", "The upload broke off before its end.")
    for path in ("results?partial=true", "errors", "manifest"):
        answer = await http.get(f"/jobs/{new.id}/{path}")
        assert answer.status_code == 200, answer.text
        assert [value for value in answer.json().values() if isinstance(value, list)] == [[]]


async def test_failed_rows_are_read_by_themselves_at_any_time(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http, 6)
    link = f"/jobs/{job_id}/errors"
    assert (await http.get(link)).json() == {"job_id": job_id, "errors": [], "total_count": 0}
    give_up_next(gateway)
    await run_chunks(gateway, job_id, failing=4)
    found = (await http.get(link)).json()
    assert ([error["row"] for error in found["errors"]], found["total_count"]) == ([0, 1, 4], 3)
    assert found["errors"][2] == {"row": 4, "error": "no such iris"}
    page = (await http.get(link, params={"offset": 1, "limit": 2})).json()
    assert page["errors"] == found["errors"][1:]
    lines = (await http.get(link, headers={"Accept": "application/x-ndjson"})).text.splitlines()
    assert [json.loads(line) for line in lines] == found["errors"]
    text = (await http.get(link, params={"format": "csv"})).text
    assert list(csv.DictReader(io.StringIO(text)))[2] == {"row": "4", "error": "no such iris"}
    assert (await http.get(link, params={"format": "parquet"})).status_code == 406


async def test_a_manifest_has_the_digests_of_what_is_stored(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http, 3, reference="lot 7")
    early = await http.get(f"/jobs/{job_id}/manifest")
    assert (early.status_code, early.json()["error"]) == (409, "results_not_ready")
    await run_chunks(gateway, job_id)
    found = (await http.get(f"/jobs/{job_id}/manifest")).json()
    stored = [hashlib.sha256(gateway.jobs.payloads.get(rows_path(job_id, index))) for index in (0, 1)]
    assert [chunk["input_sha256"] for chunk in found["chunks"]] == [one.hexdigest() for one in stored]
    whole = hashlib.sha256(b"".join(one.digest() for one in stored)).hexdigest()
    assert found["inputs_sha256"] == whole != found["outputs_sha256"]
    assert (found["rows_succeeded"], found["reference"], found["model_sha256"]) == (3, "lot 7", "ab" * 32)
    assert found["versions"]["pyarrow"] == pa.__version__


async def test_a_manifest_keeps_built_with_after_the_versions_folder_is_deleted(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http)
    await run_chunks(gateway, job_id)
    shutil.rmtree(gateway.catalog.repository.root / "iris" / "1.0.0")
    found = (await http.get(f"/jobs/{job_id}/manifest")).json()
    assert found["built_with"] == {"scikit-learn": "1.3.2"}


async def test_a_canceled_job_starts_no_chunk_and_may_be_canceled_again(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http)
    for _ in range(2):
        answer = await http.post(f"/jobs/{job_id}/cancel")
        assert (answer.status_code, answer.json()["state"]) == (200, "canceled")
    await run_chunks(gateway, job_id)
    assert (await http.get(f"/jobs/{job_id}")).json()["rows_succeeded"] == 0


async def test_a_paused_job_waits_until_it_is_resumed(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http)
    for _ in range(2):
        paused = (await http.post(f"/jobs/{job_id}/pause")).json()
        assert (paused["state"], paused["waiting"]["reason"]) == ("paused", "paused")
    assert worker_ledger(gateway).claim(keys.model_key("iris", "1.0.0")) is None
    for _ in range(2):
        assert (await http.post(f"/jobs/{job_id}/resume")).json()["state"] == "queued"
    await run_chunks(gateway, job_id)
    assert (await http.get(f"/jobs/{job_id}")).json()["state"] == "succeeded"


async def test_another_priority_counts_from_then_on(stage: Stage) -> None:
    _, http = stage
    job_id = await submitted(http)
    assert (await http.patch(f"/jobs/{job_id}", json={"priority": 9})).json()["priority"] == 9
    for wrong in ({"priority": 10}, {"priority": "9"}, {}, {"priority": 1, "state": "running"}):
        assert (await http.patch(f"/jobs/{job_id}", json=wrong)).status_code == 422
    undecodable = await http.patch(
        f"/jobs/{job_id}", content=b"\xff", headers={"content-type": "application/json"}
    )
    assert (undecodable.status_code, undecodable.json()["error"]) == (422, "validation_error")


async def test_what_a_jobs_state_forbids_is_refused_in_words(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http)
    early = await http.delete(f"/jobs/{job_id}")
    assert (early.status_code, early.json()["error"]) == (409, "invalid_state")
    assert "queued" in early.json()["detail"]
    await run_chunks(gateway, job_id)
    for verb in ("cancel", "pause", "resume"):
        answer = await http.post(f"/jobs/{job_id}/{verb}")
        assert (answer.status_code, answer.json()["error"]) == (409, "invalid_state"), verb
    assert (await http.patch(f"/jobs/{job_id}", json={"priority": 1})).status_code == 409


async def test_a_deleted_job_leaves_nothing(stage: Stage, tmp_path: Path) -> None:
    gateway, http = stage
    job_id = await submitted(http)
    await run_chunks(gateway, job_id)
    assert list((tmp_path / "payloads").rglob(f"*{job_id}*"))
    assert (await http.delete(f"/jobs/{job_id}")).status_code == 204
    assert not list((tmp_path / "payloads").rglob(f"*{job_id}*"))
    assert (await http.get(f"/jobs/{job_id}")).json()["error"] == "job_not_found"
    assert [key for key in await gateway.client.keys("*") if job_id.encode() in key] == []


async def test_an_expired_job_is_gone_everywhere(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http)
    await run_chunks(gateway, job_id)
    await gateway.client.zadd(keys.expiring(), {job_id: 1})
    assert worker_ledger(gateway).expire_jobs() == [job_id]
    for part in ("", "/results", "/errors", "/events", "/manifest"):
        answer = await http.get(f"/jobs/{job_id}{part}")
        assert (answer.status_code, answer.json()["error"]) == (410, "job_expired"), part
    assert (await http.post(f"/jobs/{job_id}/cancel")).status_code == 410


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    frames = [frame.splitlines() for frame in text.split("\n\n") if frame]
    return [
        (lines[1].removeprefix("event: "), json.loads(lines[2].removeprefix("data: "))) for lines in frames
    ]


async def test_an_ended_jobs_events_are_its_snapshot_and_its_end(stage: Stage) -> None:
    gateway, http = stage
    job_id = await submitted(http)
    await run_chunks(gateway, job_id)
    answer = await http.get(f"/jobs/{job_id}/events")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    (first, snapshot), (last, end) = events_of(answer.text)
    assert (first, last, snapshot["state"], end["rows_succeeded"]) == ("snapshot", "end", "succeeded", 5)
    again = await http.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": "1-0"})
    assert [name for name, _ in events_of(again.text)] == ["end"]


async def test_a_watcher_sees_progress_up_to_the_end(stage: Stage) -> None:
    gateway, http = stage
    record = await gateway.jobs.ledger.read(await submitted(http))
    stream = watched(gateway, record, look_every_s=0.001)

    async def event() -> tuple[str, dict[str, Any]]:
        part = await asyncio.wait_for(anext(stream), LIMIT_S)
        return events_of(part.decode())[0]

    assert (await event())[0] == "snapshot"
    await run_chunks(gateway, record.id, most=1)
    name, data = await event()
    assert (name, data["state"], data["rows_succeeded"]) == ("progress", "running", 2)
    await run_chunks(gateway, record.id)
    name, data = await event()
    assert (name, data["state"], data["rows_succeeded"]) == ("end", "succeeded", 5)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_quiet_watch_is_kept_alive_and_ends_with_the_job_or_the_gateway(stage: Stage) -> None:
    gateway, http = stage
    record = await gateway.jobs.ledger.read(await submitted(http))
    quiet = watched(gateway, record, look_every_s=0.001, heartbeat_s=0.0)
    await anext(quiet)
    assert await asyncio.wait_for(anext(quiet), LIMIT_S) == HEARTBEAT
    await gateway.client.delete(keys.job(record.id))
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(quiet), LIMIT_S)
    stopping = watched(gateway, record, "1-0", look_every_s=0.001)
    gateway.lifecycle.leave()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(stopping), LIMIT_S)


async def test_a_watcher_that_left_is_noticed(stage: Stage) -> None:
    _, http = stage
    job_id = await submitted(http)
    sent: list[Any] = []
    app = http._transport.app  # type: ignore[attr-defined]  # the application under test

    async def send(message: Any) -> None:
        sent.append(message)

    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await until(lambda: len(sent) >= 2)
        return {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "path": f"/jobs/{job_id}/events",
        "raw_path": b"",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [],
        "server": ("gateway", 80),
        "client": ("client", 1),
    }
    await asyncio.wait_for(app(scope, receive, send), LIMIT_S)
    assert b"event: snapshot" in sent[1]["body"]
