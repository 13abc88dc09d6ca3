"""The payload store on a real S3 API server, by itself and under a whole stack."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import object_stores, payloads
from shared.errors import PayloadError
from shared.payloads import PayloadStore, result_path, rows_path
from tests.support.callers import finished
from tests.support.object_stores import CREDENTIALS, S3, s3_server
from tests.support.servers import Server
from tests.support.stack import Stack, running, wait_until_ready

pytestmark = pytest.mark.integration

SETOSA, VIRGINICA = [5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with pytest.MonkeyPatch.context() as patch, s3_server() as server:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def on_s3(s3: S3, queue: Server, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway and a worker with payloads in a bucket, in small chunks."""
    settings = {"payload_url": s3.url("stack"), "models": "iris", "chunk_rows": "100"}
    with running(queue.url, tmp_path_factory.mktemp("on_s3"), **settings) as started:
        started.gateway()
        started.worker("worker")
        wait_until_ready(started)
        yield started


def test_what_is_put_into_a_bucket_is_read_by_threads_and_by_asyncio(s3: S3) -> None:
    store = PayloadStore(s3.url("there"))

    async def there_and_back() -> bytes:
        await store.put_async(rows_path("job", 1), b"two")
        return await store.get_async(rows_path("job", 0))

    store.put(rows_path("job", 0), b"one")
    assert asyncio.run(there_and_back()) == b"one"
    assert store.get(rows_path("job", 1)) == b"two"
    assert s3.keys("there/") == ["there/job/in/00000000", "there/job/in/00000001"]


def test_a_chunk_larger_than_a_part_arrives_whole(s3: S3) -> None:
    store, chunk = PayloadStore(s3.url("large")), bytes(range(256)) * 2**15 * 2
    store.put(rows_path("job", 0), chunk)
    assert store.get(rows_path("job", 0)) == chunk


def test_a_buckets_jobs_are_listed_with_the_time_of_their_newest_object(s3: S3) -> None:
    store = PayloadStore(s3.url("listed"))
    before_s = time.time() - 2
    for job_id in ("a" * 32, "b" * 32):
        for chunk in range(3):
            store.put(rows_path(job_id, chunk), b"rows")
    found = list(store.stored_jobs())
    assert [job.id for job in found] == ["a" * 32, "b" * 32]
    assert min(job.newest_at_s for job in found) >= before_s


def test_removing_a_job_empties_its_prefix_and_no_other(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "LIST_PAGE", 2)
    store = PayloadStore(s3.url("removal"))
    for index in range(5):
        store.put(rows_path("job", index), b"x")
    store.put(result_path("job", 0, "token"), b"x")
    store.put(rows_path("job2", 0), b"x")
    store.remove_job("job")
    assert s3.keys("removal/") == ["removal/job2/in/00000000"]


def test_removing_a_job_that_stored_nothing_in_a_bucket_is_nothing(s3: S3) -> None:
    PayloadStore(s3.url("nothing")).remove_job("nobody")


def test_a_bucket_that_is_not_there_is_named_without_credentials(s3: S3) -> None:
    store = PayloadStore(s3.url("x", bucket="no-such-bucket"))
    with pytest.raises(
        PayloadError, match=r"s3://no-such-bucket/x: cannot write job/in/00000000: .*"
    ) as caught:
        store.put(rows_path("job", 0), b"x")
    assert "\n" not in caught.value.detail
    assert not any(secret in caught.value.detail for secret in CREDENTIALS.values())


def test_an_object_that_is_not_in_the_bucket_is_named(s3: S3) -> None:
    with pytest.raises(PayloadError, match="cannot read job/in/00000007"):
        PayloadStore(s3.url("x")).get(rows_path("job", 7))


def test_a_store_that_does_not_answer_is_an_error_in_words(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_stores, "MAX_RETRIES", 0)
    store = PayloadStore("s3://bucket/x?endpoint=http://127.0.0.1:9&region=us-east-1")
    with pytest.raises(PayloadError, match=r"s3://bucket/x: cannot read job/in/00000000: .*") as caught:
        store.get(rows_path("job", 0))
    assert not any(secret in caught.value.detail for secret in CREDENTIALS.values())


def test_a_job_goes_through_a_bucket_from_submission_to_results(on_s3: Stack, s3: S3) -> None:
    inputs = [SETOSA, VIRGINICA] * 175
    with on_s3.client() as http:
        job = _submitted(http, inputs)
        results = http.get(job["links"]["results"]).raise_for_status().json()["results"]
    assert job["state"] == "succeeded"
    assert [result["prediction"] for result in results] == ["setosa", "virginica"] * 175
    stored = [key.removeprefix(f"stack/{job['id']}/") for key in s3.keys(f"stack/{job['id']}/")]
    assert [key for key in stored if key.startswith("in/")] == [f"in/{n:08d}" for n in range(4)]
    assert len([key for key in stored if key.startswith("out/")]) == 4


def test_nothing_of_the_credentials_is_in_the_logs(on_s3: Stack) -> None:
    with on_s3.client() as http:
        _submitted(http, [SETOSA])
    logs = on_s3.logs()
    assert "job_submitted" in logs
    assert not any(secret in logs for secret in CREDENTIALS.values())


def _submitted(http: httpx.Client, inputs: list[list[float]]) -> dict[str, Any]:
    answer = http.post("/jobs", json={"model": "iris", "inputs": inputs})
    assert answer.status_code == 202, answer.text
    return finished(http, answer.headers["Location"])
