"""Integrity of payloads: a changed object is never served, and never named by a manifest."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest

from api.gateway import Gateway
from shared import keys
from shared.integrity import digest_of, object_digest
from shared.job_payloads import JobObjects
from shared.ledger import NOTHING_INLINE, ChunkRecord
from shared.payloads import result_path, rows_path
from tests.unit.gateway_fakes import IRIS_KEY, FakeRedis
from tests.unit.job_stage import COMPUTED_BY, job_stage, run_chunks, submission, worker_ledger

Stage: TypeAlias = tuple[Gateway, httpx.AsyncClient]
FORMATS = ("json", "ndjson", "csv", "parquet", "arrow")


@pytest.fixture
async def stage(redis_client: FakeRedis, tmp_path: Path) -> AsyncIterator[Stage]:
    async with job_stage(redis_client, tmp_path) as parts:
        yield parts


@pytest.fixture
def redis_client() -> FakeRedis:
    return FakeRedis()


async def succeeded(stage: Stage, rows: int = 5) -> str:
    gateway, http = stage
    answer = await http.post("/jobs", json=submission(rows))
    job_id: str = answer.json()["id"]
    await run_chunks(gateway, job_id)
    return job_id


async def chunk_of(gateway: Gateway, job_id: str, index: int) -> ChunkRecord:
    return (await gateway.jobs.ledger.chunks(job_id))[index]


def flip(gateway: Gateway, path: str, *, bit: int) -> None:
    """Change a bit of a stored object."""
    data = bytearray(gateway.jobs.payloads.get(path))
    place = bit % (len(data) * 8)
    data[place // 8] ^= 1 << place % 8
    gateway.jobs.payloads.put(path, bytes(data))


async def change_chunk(gateway: Gateway, job_id: str, index: int, **changes: Any) -> None:
    """Change the ledger's own record of a chunk, as a flipped bit of its memory would."""
    name = keys.job_chunks(job_id)
    text: Any = await gateway.client.hget(name, str(index))
    await gateway.client.hset(name, str(index), json.dumps(json.loads(text) | changes))


@pytest.mark.parametrize("kind", FORMATS)
async def test_a_changed_result_is_served_in_no_format(stage: Stage, kind: str) -> None:
    gateway, http = stage
    job_id = await succeeded(stage)
    chunk = await chunk_of(gateway, job_id, 0)
    whole = await http.get(f"/jobs/{job_id}/results", params={"format": kind})
    assert whole.status_code == 200
    flip(gateway, result_path(job_id, 0, chunk.token), bit=6001)
    answer = await http.get(f"/jobs/{job_id}/results", params={"format": kind})
    assert answer.status_code != 200, answer.text


async def test_no_flipped_bit_of_a_result_is_served(stage: Stage) -> None:
    gateway, http = stage
    job_id = await succeeded(stage, rows=2)
    chunk = await chunk_of(gateway, job_id, 0)
    path = result_path(job_id, 0, chunk.token)
    kept = gateway.jobs.payloads.get(path)
    for bit in range(0, len(kept) * 8, 331):
        flip(gateway, path, bit=bit)
        with pytest.raises(Exception, match="digest"):
            gateway_result(gateway, job_id, chunk)
        gateway.jobs.payloads.put(path, kept)
    assert (await http.get(f"/jobs/{job_id}/results")).status_code == 200


def gateway_result(gateway: Gateway, job_id: str, chunk: ChunkRecord) -> bytes:
    return JobObjects(gateway.jobs.payloads, job_id, NOTHING_INLINE).result(chunk)


async def test_a_chunk_in_the_midst_of_a_stream_is_checked_before_its_first_byte(stage: Stage) -> None:
    gateway, http = stage
    job_id = await succeeded(stage, rows=6)
    chunk = await chunk_of(gateway, job_id, 2)
    flip(gateway, result_path(job_id, 2, chunk.token), bit=6001)
    answer = await http.get(f"/jobs/{job_id}/results", params={"format": "ndjson"})
    assert '"row":3' in answer.text
    assert '"row":4' not in answer.text


async def test_swapped_results_are_not_served(stage: Stage) -> None:
    gateway, http = stage
    job_id = await succeeded(stage, rows=4)
    paths = [result_path(job_id, index, (await chunk_of(gateway, job_id, index)).token) for index in (0, 1)]
    first, second = map(gateway.jobs.payloads.get, paths)
    gateway.jobs.payloads.put(paths[0], second)
    gateway.jobs.payloads.put(paths[1], first)
    answer = await http.get(f"/jobs/{job_id}/results")
    assert answer.status_code != 200


@pytest.mark.parametrize("of", ["rows", "result"])
async def test_the_manifest_does_not_follow_a_changed_object(stage: Stage, of: str) -> None:
    gateway, http = stage
    job_id = await succeeded(stage)
    before = (await http.get(f"/jobs/{job_id}/manifest")).json()
    chunk = await chunk_of(gateway, job_id, 0)
    stored = gateway.jobs.payloads.get(result_path(job_id, 0, chunk.token))
    assert before["chunks"][0]["output_digest"] == object_digest(stored)
    assert before["chunks"][0]["output_sha256"] == digest_of(stored)
    flip(gateway, rows_path(job_id, 0) if of == "rows" else result_path(job_id, 0, chunk.token), bit=6001)
    after = (await http.get(f"/jobs/{job_id}/manifest")).json()
    changed = "input_sha256" if of == "rows" else "output_sha256"
    assert after["chunks"][0] == before["chunks"][0] | {changed: None}
    assert after[changed.replace("put_", "puts_")] is None


async def test_the_manifest_names_what_computed_each_chunk(stage: Stage) -> None:
    _, http = stage
    job_id = await succeeded(stage)
    found = (await http.get(f"/jobs/{job_id}/manifest")).json()
    (name,) = found["computed_by"]
    assert {chunk["computed_by"] for chunk in found["chunks"]} == {name}
    assert found["computed_by"][name] == json.loads(COMPUTED_BY)


@pytest.mark.parametrize(
    "changes",
    [
        {"result_digest": "0" * 64},
        {"rows_digest": "0" * 64},
        {"computed_by": "000000000000"},
        {"rows": 1},
        {"failed": 1},
        {"token": "0123456789abcdef"},
    ],
)
async def test_a_changed_record_of_a_result_is_reported(stage: Stage, changes: dict[str, Any]) -> None:
    gateway, http = stage
    job_id = await succeeded(stage)
    await change_chunk(gateway, job_id, 0, **changes)
    for path in ("manifest", "results"):
        answer = await http.get(f"/jobs/{job_id}/{path}")
        assert (answer.status_code, answer.json()["error"]) == (500, "record_unreadable"), path


async def test_a_changed_description_of_what_computed_a_job_is_reported(stage: Stage) -> None:
    gateway, http = stage
    job_id = await succeeded(stage)
    (name,) = (await gateway.jobs.ledger.read(job_id)).computed_by
    field = f"computed_by:{name}"
    await gateway.client.hset(keys.job(job_id), field, COMPUTED_BY.replace("native", "natiwe"))
    answer = await http.get(f"/jobs/{job_id}/manifest")
    assert (answer.status_code, answer.json()["error"]) == (500, "record_unreadable")


async def test_a_job_of_a_takt_that_recorded_no_digests_is_read_unchecked(stage: Stage) -> None:
    gateway, http = stage
    job_id = await succeeded(stage)
    for index in range(3):
        name = keys.job_chunks(job_id)
        text: Any = await gateway.client.hget(name, str(index))
        kept = {k: v for k, v in json.loads(text).items() if k not in NEW_FIELDS}
        await gateway.client.hset(name, str(index), json.dumps(kept))
    assert (await http.get(f"/jobs/{job_id}/results")).status_code == 200
    found = (await http.get(f"/jobs/{job_id}/manifest")).json()
    assert {chunk["output_digest"] for chunk in found["chunks"]} == {None}
    assert None not in {found["inputs_sha256"], found["outputs_sha256"]}


NEW_FIELDS = ("rows_digest", "result_digest", "computed_by", "seal")


async def test_a_claim_brings_the_digest_of_its_rows(stage: Stage) -> None:
    gateway, http = stage
    job_id = (await http.post("/jobs", json=submission(3))).json()["id"]
    held = worker_ledger(gateway).claim(IRIS_KEY)
    assert held is not None
    assert held.rows_digest == object_digest(gateway.jobs.payloads.get(rows_path(job_id, 0)))
