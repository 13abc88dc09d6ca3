"""Files → jobs → the model's own answers, on a real server with a real worker."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.callers import finished, job_results
from tests.support.polling import eventually
from tests.support.stack import ROOT, Stack
from tests.unit.shared.tabular.test_readers import QUALITY_ROW

pytestmark = pytest.mark.integration

CLASSES = ["setosa", "versicolor", "virginica"]
ROWS = 50_000
HEADER = "sepal_length,sepal_width,petal_length,petal_width"


@cache
def flowers() -> list[list[float]]:
    drawn: list[list[float]] = np.round(np.random.default_rng(11).uniform(0.0, 8.0, (ROWS, 4)), 2).tolist()
    return drawn


def as_csv(rows: list[list[float]]) -> bytes:
    return "\n".join([HEADER, *(",".join(map(str, row)) for row in rows)]).encode()


def cell(value: object) -> str:
    """As an MES writes it into CSV."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def submitted(http: httpx.Client, body: bytes, kind: str, model: str, **query: str) -> dict[str, Any]:
    """The job of a file, ended."""
    answer = http.post("/jobs", params={"model": model} | query, content=body, headers={"content-type": kind})
    assert answer.status_code == 202, answer.text
    return finished(http, answer.headers["location"])


def results_of(http: httpx.Client, job: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get(job["links"]["results"]).raise_for_status().json()["results"]
    return found


def outputs(results: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    return [(result["prediction"], result["confidence"]) for result in results]


def test_a_packed_csv_of_50_000_flowers_is_the_forests(models: Path, http: httpx.Client) -> None:
    import joblib

    body = gzip.compress(as_csv(flowers()), 1)
    headers = {"content-type": "text/csv", "content-encoding": "gzip", "prefer": "wait=30"}
    answer = http.post("/jobs", params={"model": "iris"}, content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    job = answer.json()
    assert (job["state"], job["rows_succeeded"], job["rows_failed"]) == ("succeeded", ROWS, 0)
    forest = joblib.load(ROOT / "models/iris/1.0.0/model.joblib")
    forest.n_jobs = 1
    probabilities = forest.predict_proba(np.array(flowers()))
    expected = [(CLASSES[p.argmax()], float(p.max())) for p in probabilities]
    found = outputs(results_of(http, job))
    assert found == expected
    assert outputs(job_results(http, "iris", flowers()[:2000])) == found[:2000]


def test_quality_by_csv_and_ndjson_is_quality_by_json(models: Path, http: httpx.Client) -> None:
    rows = [QUALITY_ROW | {"torque_nm": 40 + i, "resin_lot": None if i % 2 else "가"} for i in range(50)]
    cells = [[cell(value) for value in row.values()] for row in rows]
    csv = "\n".join([",".join(QUALITY_ROW), *map(",".join, cells)]).encode("cp949")
    ndjson = "\n".join(json.dumps(row) for row in rows).encode()
    by_csv = results_of(http, submitted(http, csv, "text/csv; charset=cp949", "quality"))
    by_ndjson = results_of(http, submitted(http, ndjson, "application/x-ndjson", "quality"))
    by_json = job_results(http, "quality", rows)
    assert outputs(by_csv) == outputs(by_ndjson) == outputs(by_json)


def test_an_invalid_row_is_recorded_and_its_neighbours_are_predicted(
    models: Path, http: httpx.Client
) -> None:
    rows = flowers()[:100]
    lines = as_csv(rows).split(b"\n")
    lines[51] = b"x,1,1,1"
    lines[61] = b"1,1"
    job = submitted(http, b"\n".join(lines), "text/csv", "iris")
    assert (job["state"], job["rows_succeeded"], job["rows_failed"]) == ("succeeded", 98, 2)
    results = results_of(http, job)
    errors = {i: result["error"] for i, result in enumerate(results) if result.get("error")}
    assert errors == {
        50: "sepal_length: 'x' is not a number (line 52)",
        60: "has 2 cells, but the header has 4 (line 62)",
    }
    good = [i for i in range(100) if i not in errors]
    expected = job_results(http, "iris", [rows[i] for i in good])
    assert outputs([results[i] for i in good]) == outputs(expected)


def test_too_many_invalid_rows_fail_the_job_with_the_first_named(models: Path, http: httpx.Client) -> None:
    body = as_csv(flowers()[:8]) + b"\nx,1,1,1\ny,1,1,1"
    job = submitted(http, body, "text/csv", "iris")
    assert (job["state"], job["error"]["code"]) == ("failed", "too_many_errors")
    assert "sepal_length: 'x' is not a number, first in row 8 (line 10)" in job["error"]["detail"]
    assert submitted(http, body, "text/csv", "iris", max_errors="2")["state"] == "succeeded"


def test_a_broken_upload_fails_and_leaves_no_object(models: Path, stack: Stack, http: httpx.Client) -> None:
    whole = as_csv(flowers()) + b"\n"

    def broken() -> Iterator[bytes]:
        yield whole
        for _ in range(3):
            yield whole.removeprefix(HEADER.encode() + b"\n")
        raise ConnectionAbortedError

    params = {"model": "iris", "reference": "broken"}
    with pytest.raises(ConnectionAbortedError):
        http.post("/jobs", params=params, content=broken(), headers={"content-type": "text/csv"})

    def failed() -> dict[str, Any] | None:
        jobs = http.get("/jobs", params={"reference": "broken"}).raise_for_status().json()["jobs"]
        return jobs[0] if jobs and jobs[0]["state"] == "failed" else None

    job = eventually(failed)
    assert job is not None
    assert job["error"]["code"] == "upload_interrupted"
    folder = stack.folder / "payloads" / job["id"]
    eventually(lambda: not any(path.is_file() for path in folder.rglob("*")))
