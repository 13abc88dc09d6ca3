"""Replay of a job on another version, and the difference of the two."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api.gateway import Gateway
from shared.arrow_tables import read_ipc, write_ipc
from shared.integrity import object_digest
from shared.keys import ModelKey, model_key
from shared.ledger import Ended
from shared.payloads import result_path, rows_path
from tests.unit.gateway_fakes import FakeRedis
from tests.unit.job_stage import COMPUTED_BY, job_stage, predicted, run_chunks, submission, worker_ledger

Stage = tuple[Gateway, httpx.AsyncClient]
Change = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]

NEW_KEY = model_key("iris", "1.1.0")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """iris in three versions; 1.2.0 takes smaller flowers only."""
    async with job_stage(FakeRedis(), tmp_path) as (gateway, http):
        home = tmp_path / "models" / "iris"
        for version in ("1.1.0", "1.2.0"):
            shutil.copytree(home / "1.0.0", home / version)
            manifest = json.loads((home / version / "manifest.json").read_text())
            text = json.dumps(manifest | {"version": version, "sha256": version[2] * 64})
            (home / version / "manifest.json").write_text(text)
        spec = (home / "model.toml").read_text()
        assert "maximum = 10\n" in spec
        (home / "1.2.0" / "model.toml").write_text(spec.replace("maximum = 10\n", "maximum = 9\n", 1))
        gateway.catalog.reload()
        yield gateway, http


def unchanged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return rows


def run_as(gateway: Gateway, job_id: str, key: ModelKey = NEW_KEY, change: Change = unchanged) -> None:
    """Act as a worker of another version, whose answers differ by `change`."""
    ledger = worker_ledger(gateway)
    while claim := ledger.claim(key):
        stored = claim.data or gateway.jobs.payloads.get(rows_path(job_id, claim.index))
        table = read_ipc(predicted(stored, None)[0])
        rows = pa.Table.from_pylist(change(table.to_pylist()), schema=table.schema)
        data = write_ipc(rows.to_batches(), rows.schema)
        failed = rows.num_rows - rows["error"].null_count
        gateway.jobs.payloads.put(result_path(job_id, claim.index, claim.token), data)
        ended = Ended(
            held=claim,
            rows_succeeded=rows.num_rows - failed,
            rows_failed=failed,
            result_digest=object_digest(data),
            computed_by=COMPUTED_BY,
        )
        ledger.commit_some(key, [ended])


async def finished_job(stage: Stage, rows: int = 7, **more: Any) -> str:
    gateway, http = stage
    answer = await http.post("/jobs", json=submission(rows, **more))
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    await run_chunks(gateway, job_id)
    return job_id


async def replayed(http: httpx.AsyncClient, job_id: str, **body: Any) -> dict[str, Any]:
    answer = await http.post(f"/jobs/{job_id}/replay", json={"version": "1.1.0"} | body)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


@pytest.mark.parametrize("rows", [2, 7])
async def test_a_replay_runs_the_stored_rows_on_another_version(stage: Stage, rows: int) -> None:
    gateway, http = stage
    job_id = await finished_job(stage, rows, reference="lot 7", tags=["x"])
    job = await replayed(http, job_id, priority=2)
    assert (job["version"], job["replay_of"], job["rows_total"]) == ("1.1.0", job_id, rows)
    assert (job["reference"], job["tags"], job["priority"]) == ("lot 7", ["x"], 2)
    assert job["digest"] == "1" * 64
    run_as(gateway, job["id"])
    assert (await http.get(f"/jobs/{job['id']}")).json()["state"] == "succeeded"
    mine, theirs = [(await http.get(f"/jobs/{one}/results")).json()["results"] for one in (job_id, job["id"])]
    assert mine == theirs
    assert (await http.get(f"/jobs/{job_id}")).json()["replay_of"] is None


async def test_the_rows_of_a_replay_outlive_those_of_the_job(stage: Stage) -> None:
    gateway, http = stage
    job_id = await finished_job(stage)
    job = await replayed(http, job_id)
    assert (await http.delete(f"/jobs/{job_id}")).status_code == 204
    run_as(gateway, job["id"])
    assert (await http.get(f"/jobs/{job['id']}")).json()["state"] == "succeeded"


@pytest.mark.parametrize("rows", [2, 7])
async def test_one_idempotency_key_makes_one_replay(stage: Stage, rows: int) -> None:
    _, http = stage
    job_id = await finished_job(stage, rows)
    key = {"Idempotency-Key": "once"}
    asked = {"version": "1.1.0"}
    answers = [await http.post(f"/jobs/{job_id}/replay", json=asked, headers=key) for _ in range(2)]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert answers[1].headers["idempotent-replayed"] == "true"
    other = await http.post(f"/jobs/{job_id}/replay", json=asked | {"priority": 9}, headers=key)
    assert other.status_code == 409


async def test_a_replay_is_refused_with_the_reason(stage: Stage) -> None:
    gateway, http = stage
    running = (await http.post("/jobs", json=submission(5))).json()["id"]
    answer = await http.post(f"/jobs/{running}/replay", json={"version": "1.1.0"})
    assert (answer.status_code, "only a job that has succeeded" in answer.text) == (409, True)
    await run_chunks(gateway, running)
    for version, status, words in (("9.9.9", 404, "no version"), ("1.2.0", 422, "must be at most 9")):
        answer = await http.post(f"/jobs/{running}/replay", json={"version": version})
        assert answer.status_code == status, answer.text
        assert words in answer.text
    gateway.jobs.payloads.remove(rows_path(running, 0))
    answer = await http.post(f"/jobs/{running}/replay", json={"version": "1.1.0"})
    assert (answer.status_code, "no longer stored" in answer.text) == (409, True)
    assert (await http.post("/jobs/none/replay", json={"version": "1.1.0"})).status_code == 404


def wrong_at(*places: float) -> Change:
    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row | {"prediction": "virginica"} if row["confidence"] in places else row for row in rows]

    return change


async def test_the_difference_counts_rows_and_class_pairs(stage: Stage) -> None:
    gateway, http = stage
    job_id = await finished_job(stage)
    job = await replayed(http, job_id)
    run_as(gateway, job["id"], change=wrong_at(2.0, 5.0))
    answer = await http.get(f"/jobs/{job_id}/difference", params={"against": job["id"]})
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert (report["rows"], report["equal"], report["different"]) == (7, 5, 2)
    assert (report["same_rows"], report["disagreement"]) == (True, pytest.approx(2 / 7))
    assert report["a"] == {"job_id": job_id, "model": "iris", "version": "1.0.0"}
    outputs = {one["output"]: one for one in report["outputs"]}
    assert outputs["prediction"]["changes"] == [{"a": "setosa", "b": "virginica", "rows": 2}]
    assert outputs["prediction"]["quantiles"] is None
    assert outputs["confidence"]["quantiles"]["max"] == 0


async def test_the_differing_rows_come_with_inputs_and_both_results(stage: Stage) -> None:
    gateway, http = stage
    job_id = await finished_job(stage)
    job = await replayed(http, job_id)
    run_as(gateway, job["id"], change=wrong_at(2.0, 5.0))
    asked = {"against": job["id"]}
    media = {"Accept": "application/vnd.apache.parquet"}
    answer = await http.get(f"/jobs/{job_id}/difference", params=asked, headers=media)
    rows = pq.read_table(io.BytesIO(answer.content)).to_pylist()
    assert [row["row"] for row in rows] == [2, 5]
    assert [row["sepal_length"] for row in rows] == [2.0, 5.0]
    assert rows[0]["prediction_a"] == "setosa"
    assert rows[0]["prediction_b"] == "virginica"
    assert (rows[0]["error_a"], rows[0]["error_b"]) == (None, None)
    for kind, first in (("csv", b'"row","sepal_length"'), ("ndjson", b'{"row":2,"sepal_length":2')):
        answer = await http.get(f"/jobs/{job_id}/difference", params=asked | {"format": kind})
        assert answer.content.startswith(first), answer.content[:200]
    arrow = await http.get(f"/jobs/{job_id}/difference", params=asked | {"format": "arrow"})
    assert pa.ipc.open_stream(arrow.content).read_all().num_rows == 2


async def test_jobs_in_other_chunks_are_compared_row_by_row(stage: Stage) -> None:
    gateway, http = stage
    job_id = await finished_job(stage)
    object.__setattr__(gateway.jobs.settings, "chunk_rows", 3)
    other = await finished_job(stage)
    report = (await http.get(f"/jobs/{job_id}/difference", params={"against": other})).json()
    assert (report["rows"], report["equal"], report["same_rows"]) == (7, 7, None)


async def test_equal_jobs_have_an_empty_table_of_differing_rows(stage: Stage) -> None:
    _, http = stage
    job_id = await finished_job(stage)
    asked = {"against": job_id, "format": "parquet"}
    answer = await http.get(f"/jobs/{job_id}/difference", params=asked)
    table = pq.read_table(io.BytesIO(answer.content))
    assert (table.num_rows, table.column_names[0], table.column_names[-1]) == (0, "row", "error_b")


async def test_jobs_that_cannot_be_compared_are_refused(stage: Stage) -> None:
    gateway, http = stage
    job_id, other = await finished_job(stage, 7), await finished_job(stage, 6)
    answer = await http.get(f"/jobs/{job_id}/difference", params={"against": other})
    assert (answer.status_code, "7 and 6 rows" in answer.text) == (422, True)
    running = (await replayed(http, job_id))["id"]
    answer = await http.get(f"/jobs/{job_id}/difference", params={"against": running})
    assert (answer.status_code, "only jobs that have succeeded" in answer.text) == (409, True)
    assert (await http.get(f"/jobs/{job_id}/difference")).status_code == 422
    asked = {"against": "none"}
    assert (await http.get(f"/jobs/{job_id}/difference", params=asked)).status_code == 404
    await run_chunks(gateway, running)


async def test_a_lost_result_of_the_other_job_is_computed_again(stage: Stage) -> None:
    gateway, http = stage
    job_id = await finished_job(stage)
    job = await replayed(http, job_id)
    run_as(gateway, job["id"])
    (lost,) = [chunk for chunk in await gateway.jobs.ledger.chunks(job["id"]) if chunk.index == 1]
    gateway.jobs.payloads.remove(result_path(job["id"], 1, lost.token))
    answer = await http.get(f"/jobs/{job_id}/difference", params={"against": job["id"]})
    assert (answer.status_code, job["id"] in answer.text) == (409, True)
    run_as(gateway, job["id"])
    answer = await http.get(f"/jobs/{job_id}/difference", params={"against": job["id"]})
    assert answer.json()["equal"] == 7
