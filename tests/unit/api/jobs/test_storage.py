"""A full payload store is reported as an error of the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import obstore
import pytest

from tests.unit.gateway_fakes import IRIS_ROW, FakeRedis
from tests.unit.upload_stage import AS_CSV, CSV, HEADER, Stage, job_of, objects, post, upload_stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with upload_stage(FakeRedis(), tmp_path, max_stored_bytes=1_000_000) as started:
        yield started


def fill(stage: Stage) -> None:
    """Fill the store up to its budget."""
    stage[0].jobs.payloads.put("other/in/00000000", b"x" * 999_990)


async def test_a_used_up_storage_budget_is_503_with_a_time_before_a_byte_is_read(
    stage: Stage, tmp_path: Path
) -> None:
    fill(stage)
    before = objects(tmp_path)
    answer = await post(stage[1], CSV)
    assert (answer.status_code, answer.json()["error"]) == (503, "storage_full")
    assert int(answer.headers["retry-after"]) > 0
    assert "location" not in answer.headers
    assert objects(tmp_path) == before


async def test_a_body_that_could_never_be_stored_is_413(stage: Stage) -> None:
    answer = await post(stage[1], HEADER + b"1,1,1,1\n" * 200_000)
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")


async def test_an_upload_that_fills_the_store_fails_its_job_as_storage_full(stage: Stage) -> None:
    async def unannounced() -> AsyncIterator[bytes]:
        yield HEADER + b"1,1,1,1\n" * 100_000

    answer = await post(stage[1], unannounced())
    assert (answer.status_code, answer.json()["error"]) == (503, "storage_full")
    assert answer.headers["retry-after"]
    job = await job_of(stage[1], answer)
    assert (job["state"], job["error"]["code"]) == ("failed", "storage_full")


async def test_rows_in_json_are_refused_before_their_job_exists(stage: Stage) -> None:
    fill(stage)
    answer = await stage[1].post("/jobs", json={"model": "iris", "inputs": [IRIS_ROW] * 5000})
    assert (answer.status_code, answer.json()["error"]) == (503, "storage_full")
    assert (await stage[1].get("/jobs")).json()["jobs"] == []


async def test_a_disk_without_room_is_storage_full_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(obstore, "put_async", no_room)
    answer = await post(stage[1], CSV, AS_CSV)
    assert (answer.status_code, answer.json()["error"]) == (503, "storage_full")
    assert (await job_of(stage[1], answer))["error"]["code"] == "storage_full"
