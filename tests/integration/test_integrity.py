"""A flipped bit in any stored object of a running Takt is detected and never causes a wrong answer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import keys
from shared.manifests import write_manifest
from shared.repository import open_repository
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import Stack, running, wait_until_ready

pytestmark = pytest.mark.integration

LARGE, SMALL = 2000, 3
"""Rows of a job in the payload store, and of an in the ledger."""


@pytest.fixture(scope="module")
def stack(queue: Server, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway and a worker with a scrubber that is always busy."""
    folder = tmp_path_factory.mktemp("integrity")
    settings = {"models": "iris", "max_attempts": "2", "chunk_rows": "1000"}
    with running(queue.url, folder, models_dir=str(models), **settings) as started:
        started.gateway()
        started.worker("worker", scrub_bytes_per_s="0")
        wait_until_ready(started)
        yield started


def flip(path: Path, *, bit: int = 4001) -> None:
    """Change a bit of a file in place."""
    data = bytearray(path.read_bytes())
    place = bit % (len(data) * 8)
    data[place // 8] ^= 1 << place % 8
    path.write_bytes(data)


def stored(stack: Stack, job_id: str, kind: str) -> list[Path]:
    return sorted((stack.folder / "payloads" / job_id / kind).iterdir())


def submitted(http: httpx.Client, rows: int) -> str:
    inputs = [[4.0 + (i % 40) / 10, 3.5, 1.0 + (i % 50) / 10, 0.2] for i in range(rows)]
    answer = http.post("/jobs", json={"model": "iris", "inputs": inputs})
    return str(answer.json()["id"])


def state(http: httpx.Client, job_id: str) -> str:
    return str(http.get(f"/jobs/{job_id}").json()["state"])


def succeeded(http: httpx.Client, rows: int) -> str:
    job_id = submitted(http, rows)
    eventually(lambda: state(http, job_id) == "succeeded", limit_s=60)
    return job_id


def results(http: httpx.Client, job_id: str) -> list[dict[str, Any]] | None:
    """None while they are not ready; otherwise they must be complete."""
    answer = http.get(f"/jobs/{job_id}/results")
    if answer.status_code == 409:
        return None
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def manifest(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """The parts of the manifest that a changed object must not change."""
    found: dict[str, Any] = http.get(f"/jobs/{job_id}/manifest").json()
    recorded = [(chunk["input_digest"], chunk["output_digest"]) for chunk in found["chunks"]]
    return {"recorded": recorded, "rows_succeeded": found["rows_succeeded"]}


def test_a_flipped_bit_of_a_stored_result_is_computed_again_and_never_served(stack: Stack) -> None:
    with stack.client() as http:
        job_id = succeeded(http, LARGE)
        right, recorded = results(http, job_id), manifest(http, job_id)
        flip(stored(stack, job_id, "out")[0])
        assert manifest(http, job_id) == recorded
        assert http.get(f"/jobs/{job_id}/manifest").json()["outputs_sha256"] is None
        assert results(http, job_id) is None
        again = eventually(lambda: results(http, job_id), limit_s=60)
        assert again == right
        assert manifest(http, job_id) == recorded


def test_a_flipped_bit_of_a_result_in_the_queue_is_computed_again_and_never_served(
    stack: Stack, queue: Server
) -> None:
    with stack.client() as http, queue.client() as client:
        job_id = succeeded(http, SMALL)
        right, recorded = results(http, job_id), manifest(http, job_id)
        data = bytearray(client.hget(keys.job_inline(job_id), "result") or b"")
        data[len(data) // 2] ^= 4
        client.hset(keys.job_inline(job_id), "result", bytes(data))
        assert results(http, job_id) is None
        assert eventually(lambda: results(http, job_id), limit_s=60) == right
        assert manifest(http, job_id) == recorded


def test_rows_with_a_flipped_bit_are_not_predicted(stack: Stack) -> None:
    worker = stack.parts["worker"]
    with stack.client() as http:
        worker.end()
        job_id = submitted(http, LARGE)
        flip(stored(stack, job_id, "in")[1])
        worker.start()
        eventually(lambda: state(http, job_id) == "succeeded", limit_s=120)
        found = results(http, job_id)
        assert found is not None
        assert {"error" in row for row in found[:1000]} == {False}
        assert {row["error"].partition(":")[0] for row in found[1000:]} == {"payload_corrupt"}


def test_a_version_with_a_flipped_bit_in_its_artifact_or_manifest_is_not_loaded(
    stack: Stack, models: Path, tmp_path: Path
) -> None:
    for name in ("iris", "quality"):
        shutil.copytree(models / name, tmp_path / name)
    artifact = tmp_path / "iris" / "1.0.0" / "model.joblib"
    flip(artifact, bit=artifact.stat().st_size * 4)
    written = tmp_path / "quality" / "1.0.0" / "manifest.json"
    write_manifest(written.parent, open_repository(tmp_path).version("quality").manifest)
    text = written.read_text()
    written.write_text(text.replace('"created_at": "2', '"created_at": "3'))
    worker = stack.worker("damaged", models_dir=str(tmp_path), models="iris,quality")
    reasons = worker.log.read_text()
    assert "SHA-256 is" in reasons
    assert "manifest_sha256 is" in reasons
    with stack.client() as http:
        (held,) = [one for one in http.get("/workers").json()["workers"] if one["name"] == "damaged/0"]
        assert {model["state"] for model in held["models"]} == {"failed"}
    worker.end()


def test_the_scrubber_finds_what_nobody_reads(stack: Stack) -> None:
    with stack.client() as http:
        job_id = succeeded(http, LARGE)
        right = results(http, job_id)
        changed = stored(stack, job_id, "out")[1]
        flip(changed)
        scrubber = stack.worker("scrubber", models="iris", scrub_bytes_per_s=str(2**30), scrub_every_s="0.5")
        eventually(lambda: scrubber.has_said("object_not_intact"), limit_s=60)
        assert job_id in scrubber.log.read_text()
        eventually(lambda: not changed.exists() or state(http, job_id) == "succeeded", limit_s=60)
        assert eventually(lambda: results(http, job_id), limit_s=60) == right
        scrubber.end()
