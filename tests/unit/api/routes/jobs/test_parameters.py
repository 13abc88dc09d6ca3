"""Unknown parameters of the query are refused with the nearest known name, and known names keep working."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from api.gateway import Gateway
from tests.unit.gateway_fakes import FakeRedis
from tests.unit.job_stage import job_stage, run_chunks, submission

Stage = tuple[Gateway, httpx.AsyncClient]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with job_stage(FakeRedis(), tmp_path) as started:
        yield started


async def ended(stage: Stage) -> str:
    gateway, http = stage
    job_id: str = (await http.post("/jobs", json=submission(5))).json()["id"]
    await run_chunks(gateway, job_id)
    return job_id


@pytest.mark.parametrize(
    ("path", "name", "nearest"),
    [
        ("/jobs", "staet", "state"),
        ("/jobs", "created-after", "created_after"),
        ("/jobs", "Limit", "limit"),
        ("/jobs/{id}/results", "formt", "format"),
        ("/jobs/{id}/results", "partail", "partial"),
        ("/jobs/{id}/results", "name", None),
        ("/jobs/{id}/results", "accept", None),
        ("/jobs/{id}/errors", "ofset", "offset"),
        ("/jobs/{id}/errors", "partial", None),
    ],
)
async def test_an_unknown_parameter_is_refused_with_the_nearest_name(
    stage: Stage, path: str, name: str, nearest: str | None
) -> None:
    answer = await stage[1].get(path.format(id=await ended(stage)), params={name: "1"})
    assert (answer.status_code, answer.json()["error"]) == (422, "validation_error")
    (problem,) = answer.json()["detail"]
    hint = "" if nearest is None else f" Did you mean '{nearest}'?"
    assert (problem["field"], problem["msg"]) == (name, f"Unknown parameter '{name}'.{hint}")
    assert problem["loc"] == ["query", name]


async def test_every_unknown_parameter_is_named_once(stage: Stage) -> None:
    answer = await stage[1].get("/jobs?x=1&staet=queued&x=2&limit=5")
    assert [problem["field"] for problem in answer.json()["detail"]] == ["x", "staet"]


async def test_known_parameters_still_count(stage: Stage) -> None:
    http, job_id = stage[1], await ended(stage)
    known: dict[str, str | int] = {
        "state": "succeeded",
        "model": "iris",
        "limit": 5,
        "created_after": "2020-01-01",
    }
    page = await http.get("/jobs", params=known | {"created_before": "2100-01-01"})
    assert [job["id"] for job in page.json()["jobs"]] == [job_id]
    assert (await http.get("/jobs?reference=none&tag=none")).json()["jobs"] == []
    asked: dict[str, str | int] = {"offset": 1, "limit": 2, "format": "csv", "partial": "true"}
    results = await http.get(f"/jobs/{job_id}/results", params=asked)
    assert (results.status_code, len(results.text.splitlines())) == (200, 3)
    errors = await http.get(f"/jobs/{job_id}/errors", params={"offset": 0, "limit": 2, "format": "ndjson"})
    assert (errors.status_code, errors.text) == (200, "")
    for part in ("results", "errors", "manifest"):  # a signed link, on a gateway that asks for no key
        assert (await http.get(f"/jobs/{job_id}/{part}?ticket=a.1.b")).status_code == 200


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("priority", "Parameter 'priority' is for files: in a JSON body it is a field."),
        ("validate_only", "Parameter 'validate_only' is for files: in a JSON body it is a field."),
        ("modle", "Unknown parameter 'modle'. Did you mean 'model'?"),
        ("zzz", "Unknown parameter 'zzz'."),
    ],
)
async def test_a_job_in_json_takes_no_parameter_of_the_query(stage: Stage, name: str, said: str) -> None:
    answer = await stage[1].post("/jobs", params={name: "1"}, json=submission(2))
    assert (answer.status_code, [p["msg"] for p in answer.json()["detail"]]) == (422, [said])
    assert (await stage[1].get("/jobs")).json()["jobs"] == []
