"""Jobs on a running Takt: results in every format, progress to the end, and their owner's commands."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from tests.support.callers import finished
from tests.support.polling import eventually
from tests.support.stack import Stack

pytestmark = pytest.mark.integration

ROWS = 20_000
INPUTS = [[4.5 + n % 37 / 10, 2 + n % 23 / 10, 1 + n % 59 / 10, n % 25 / 10] for n in range(ROWS)]


def submitted(http: httpx.Client, inputs: list[list[float]], **more: Any) -> str:
    answer = http.post("/jobs", json={"model": "iris", "inputs": inputs} | more)
    assert answer.status_code == 202, answer.text
    location: str = answer.headers["Location"]
    return location


@pytest.fixture(scope="module")
def done(stack: Stack) -> Iterator[str]:
    """The place of a job of 20,000 rows that has succeeded."""
    with stack.client() as http:
        job = submitted(http, INPUTS, reference="every format")
        assert finished(http, job)["rows_succeeded"] == ROWS
        yield job


@pytest.fixture(scope="module")
def expected(stack: Stack, done: str) -> list[dict[str, Any]]:
    """Its results as JSON gives them, each with its place."""
    with stack.client() as http:
        results = http.get(f"{done}/results").raise_for_status().json()["results"]
    return [{"row": row} | result | {"error": None} for row, result in enumerate(results)]


def test_json_has_what_predict_batch_answers(http: httpx.Client, expected: list[dict[str, Any]]) -> None:
    assert len(expected) == ROWS
    answer = http.post("/models/iris/predict/batch", json={"inputs": INPUTS[:1000]}).json()["results"]
    same = [{name: result[name] for name in ("prediction", "confidence")} for result in expected[:1000]]
    assert same == answer


def test_ndjson_is_equal_to_json(http: httpx.Client, done: str, expected: list[dict[str, Any]]) -> None:
    answer = http.get(f"{done}/results", headers={"Accept": "application/x-ndjson"})
    assert [json.loads(line) for line in answer.text.splitlines()] == expected


def test_csv_is_equal_to_json(http: httpx.Client, done: str, expected: list[dict[str, Any]]) -> None:
    answer = http.get(f"{done}/results", headers={"Accept": "text/csv"})
    table = pa.csv.read_csv(io.BytesIO(answer.content))
    assert table.to_pylist() == expected


def test_parquet_is_equal_to_json(http: httpx.Client, done: str, expected: list[dict[str, Any]]) -> None:
    answer = http.get(f"{done}/results", params={"format": "parquet"})
    assert pa.parquet.read_table(pa.BufferReader(answer.content)).to_pylist() == expected


def test_arrow_is_equal_to_json(http: httpx.Client, done: str, expected: list[dict[str, Any]]) -> None:
    answer = http.get(f"{done}/results", params={"format": "arrow"})
    assert pa.ipc.open_stream(answer.content).read_all().to_pylist() == expected


def test_a_finished_job_is_found_by_its_reference_and_has_a_manifest(http: httpx.Client, done: str) -> None:
    [job] = http.get("/jobs", params={"reference": "every format"}).json()["jobs"]
    assert job["links"]["self"] == done
    manifest = http.get(f"{done}/manifest").json()
    assert (manifest["rows_succeeded"], manifest["model_sha256"]) == (ROWS, job["digest"])
    assert sum(chunk["rows"] for chunk in manifest["chunks"]) == ROWS
    assert "scikit-learn" in manifest["built_with"]


def events_of(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in answer.iter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def test_events_tell_a_jobs_way_up_to_its_end(http: httpx.Client) -> None:
    job = submitted(http, INPUTS * 5)
    with http.stream("GET", f"{job}/events") as answer:
        events = list(events_of(answer))
    assert (events[0][0], events[-1][0]) == ("snapshot", "end")
    counts = [event["rows_succeeded"] for _, event in events]
    assert counts == sorted(counts)
    assert (counts[-1], events[-1][1]["state"]) == (ROWS * 5, "succeeded")


def test_a_paused_job_stops_goes_on_and_is_canceled_with_what_it_has_done(http: httpx.Client) -> None:
    job = submitted(http, INPUTS * 30)
    eventually(lambda: http.get(job).json()["rows_succeeded"] > 0, limit_s=30)
    assert http.post(f"{job}/pause").json()["state"] == "paused"
    held = eventually(lambda: idle(http, job))
    assert held is not None
    assert (held["state"], held["waiting"]["reason"]) == ("paused", "paused")
    assert http.post(f"{job}/resume").json()["state"] == "running"
    eventually(lambda: http.get(job).json()["rows_succeeded"] > held["rows_succeeded"], limit_s=30)
    assert http.post(f"{job}/cancel").json()["state"] in ("canceling", "canceled")
    canceled = finished(http, job)
    assert (canceled["state"], canceled["rows_succeeded"] < ROWS * 30) == ("canceled", True)
    assert http.get(f"{job}/results").status_code == 409
    partial = http.get(f"{job}/results", params={"partial": True, "format": "arrow"})
    rows = pa.ipc.open_stream(partial.content).read_all()["row"].to_pylist()
    assert len(rows) == len(set(rows)) == canceled["rows_succeeded"]
    assert http.delete(job).status_code == 204
    assert http.get(job).status_code == 404


def idle(http: httpx.Client, job: str) -> dict[str, Any] | None:
    """The job, once its counts stand still."""
    first: dict[str, Any] = http.get(job).json()
    seen = [http.get(job).json()["rows_succeeded"] for _ in range(20)]
    return first if set(seen) == {first["rows_succeeded"]} else None


def test_a_finished_job_is_deleted_with_its_data(http: httpx.Client, stack: Stack) -> None:
    job = submitted(http, INPUTS)  # too many for the ledger
    finished(http, job)
    payloads = stack.folder / "payloads" / job.removeprefix("/jobs/")
    assert payloads.is_dir()
    assert http.delete(job).status_code == 204
    assert http.get(f"{job}/results").json()["error"] == "job_not_found"
    assert not payloads.exists()
