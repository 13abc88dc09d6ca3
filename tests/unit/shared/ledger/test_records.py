"""The ledger's records stay readable: recorded jobs of schema 1, and records with unknown fields."""

from __future__ import annotations

import msgspec
import pytest

from shared import keys
from shared.errors import RecordUnreadableError
from shared.ledger import ChunkRecord, ChunkState, JobState
from shared.ledger.records import UPLOAD_SCHEMA
from shared.ledger.serialization import chunks_from_hash, job_from_hash
from tests.support.ledgers import House

JOB = {
    b"id": b"j1",
    b"model": b"iris",
    b"version": b"1.0.0",
    b"key": b"iris@1.0.0",
    b"digest": b"d",
    b"owner": b"anonymous",
    b"reference": b"shift-2",
    b"tags": b'["line-7"]',
    b"priority": b"5",
    b"retention_ms": b"1000",
    b"max_errors": b"",
    b"max_error_share": b"0.1",
    b"idempotency": b"",
    b"state": b"succeeded",
    b"created_at_ms": b"100",
    b"started_at_ms": b"200",
    b"finished_at_ms": b"300",
    b"upload_token": b"t",
    b"rows_total": b"30",
    b"rows_accepted": b"30",
    b"rows_succeeded": b"29",
    b"rows_failed": b"1",
    b"chunks_total": b"2",
    b"chunks_ended": b"2",
    b"chunks_leased": b"0",
    b"tag": b"5",
}
"""A job as recorded by the first version of Takt: without `schema`, kept columns or a webhook."""
CHUNKS = {
    b"0": b'{"state":"done","rows":20,"attempts":1,"token":"a","worker":"w:1","failed":1}',
    b"1": b'{"state":"failed","rows":10,"attempts":3,"failed":10,"error":"tried 3 times"}',
}


def test_a_job_of_schema_1_is_read_as_it_always_was() -> None:
    record = job_from_hash("j1", JOB)
    assert (record.state, record.tags, record.reference) == (JobState.SUCCEEDED, ("line-7",), "shift-2")
    assert (record.rows_total, record.rows_done, record.expires_at_ms) == (30, 30, 1300)
    assert (record.id_column, record.keep_columns, record.webhook_url) == ("", (), "")
    assert record.built_with == {}


def test_chunks_of_schema_1_are_read_as_they_always_were() -> None:
    assert chunks_from_hash(CHUNKS) == [
        ChunkRecord(index=0, state=ChunkState.DONE, rows=20, attempts=1, token="a", worker="w:1", failed=1),
        ChunkRecord(index=1, state=ChunkState.FAILED, rows=10, attempts=3, failed=10, error="tried 3 times"),
    ]


def test_fields_that_are_yet_to_come_are_passed_over() -> None:
    assert job_from_hash("j1", JOB | {b"schema": b"1", b"later": b"x"}) == job_from_hash("j1", JOB)
    later = {index: text[:-1] + b',"later":1}' for index, text in CHUNKS.items()}
    assert chunks_from_hash(later) == chunks_from_hash(CHUNKS)


@pytest.mark.parametrize(
    "changes",
    [
        {b"schema": b"3"},
        {b"schema": b"x"},
        {b"state": b"dreaming"},
        {b"tags": b"["},
        {b"rows_total": b"many"},
    ],
)
def test_a_job_that_is_corrupt_or_of_a_newer_schema_is_told_as_such(changes: dict[bytes, bytes]) -> None:
    with pytest.raises(RecordUnreadableError):
        job_from_hash("j1", JOB | changes)


@pytest.mark.parametrize("text", [b"", b"[", b"3", b"\xff", b"{}", b'{"state":"odd","rows":1,"attempts":0}'])
def test_a_chunk_that_is_corrupt_is_told_as_such(text: bytes) -> None:
    with pytest.raises(RecordUnreadableError):
        chunks_from_hash(CHUNKS | {b"2": text})


def test_a_script_writes_the_schema_and_keeps_the_fields_that_it_does_not_know(house: House) -> None:
    job_id, redis = house.submit(10), house.clients.threads
    assert redis.hget(keys.job(job_id), "schema") == str(UPLOAD_SCHEMA).encode()
    newer = msgspec.json.encode({"state": "ready", "rows": 10, "attempts": 0, "later": "kept"})
    redis.hset(keys.job_chunks(job_id), "0", newer)
    house.finish()
    assert house.read(job_id).rows_succeeded == 10
    [text] = redis.hvals(keys.job_chunks(job_id))
    assert msgspec.json.decode(text)["later"] == "kept"


def test_a_job_without_the_later_fields_runs_to_its_end(house: House) -> None:
    job_id = house.submit(10)
    house.clients.threads.hdel(
        keys.job(job_id), "schema", "id_column", "keep_columns", "webhook_url", "idempotency"
    )
    house.finish()
    assert house.read(job_id).state is JobState.SUCCEEDED
    assert house.clients.threads.zcard(keys.webhooks()) == 0
