"""A gateway with jobs that the test runs, like a worker, step by step."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pyarrow as pa
from fakeredis import FakeStrictRedis

from api.gateway import Gateway
from shared.arrow_tables import KEEP, read_ipc, result_schema, write_ipc
from shared.integrity import object_digest
from shared.ledger import Claim, Ended, JobRecord, Ledger, NewJob, new_job_id
from shared.payloads import result_path, rows_path
from tests.unit.gateway_fakes import IRIS, IRIS_KEY, MODELS, FakeRedis, running_gateway, until

COMPUTED_BY = (
    '{"artifact_sha256":"%s","device":"cpu","precision":"float64","runtime":"native","versions":{}}'
    % ("ab" * 32)
)
"""The provenance that a worker sends with a result."""


@asynccontextmanager
async def job_stage(
    client: FakeRedis, folder: Path, **changes: Any
) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    """Jobs of two rows a chunk; nobody runs them but `run_chunks`."""
    built(folder / "models")
    settings: dict[str, Any] = {"chunk_rows": 2, "max_job_body_bytes": 10_000} | changes
    async with running_gateway(client, folder / "payloads", models_dir=folder / "models", **settings) as (
        gateway,
        http,
    ):
        gateway.jobs.ledger._notify = lambda _key, _count: None  # no worker receives Celery messages here
        await until(lambda: gateway.queue.up)
        yield gateway, http


def built(models: Path) -> None:
    """A repository with the manifest of a built iris, which is all that a gateway reads."""
    folder = models / "iris" / "1.0.0"
    folder.mkdir(parents=True)
    (models / "iris" / "model.toml").write_bytes((MODELS / "iris" / "model.toml").read_bytes())
    manifest = {
        "model": "iris",
        "version": "1.0.0",
        "artifact": "model.joblib",
        "sha256": "ab" * 32,
        "size_bytes": 1,
        "created_at": "2026-01-01T00:00:00Z",
        "frameworks": {"scikit-learn": "1.3.2"},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


async def run_chunks(gateway: Gateway, job_id: str, *, failing: int | None = None, most: int = 1000) -> None:
    """Act as a worker: claim, predict (each row's first input), store, commit."""
    ledger = worker_ledger(gateway)
    while most and (claim := ledger.claim(IRIS_KEY)):
        most -= 1
        data, succeeded, failed = predicted(
            claim.data or gateway.jobs.payloads.get(rows_path(job_id, claim.index)), failing
        )
        gateway.jobs.payloads.put(result_path(job_id, claim.index, claim.token), data)
        ledger.commit_some(IRIS_KEY, [_ended(claim, data, succeeded, failed)])


def run_small(gateway: Gateway, *, failing: int | None = None) -> None:
    """Act as a worker for small jobs: the results are kept in the ledger."""
    ledger = worker_ledger(gateway)
    for claim in ledger.claim_some(IRIS_KEY, most=9, most_rows=64):
        data, succeeded, failed = predicted(claim.data, failing)
        ended = msgspec.structs.replace(_ended(claim, data, succeeded, failed), result=data)
        ledger.commit_some(IRIS_KEY, [ended])


def _ended(claim: Claim, data: bytes, succeeded: int, failed: int) -> Ended:
    return Ended(
        held=claim,
        rows_succeeded=succeeded,
        rows_failed=failed,
        result_digest=object_digest(data),
        computed_by=COMPUTED_BY,
    )


def predicted(stored: bytes, failing: int | None) -> tuple[bytes, int, int]:
    """→ the results of stored rows, each row's first input; how many succeeded, and failed"""
    table = read_ipc(stored)
    rows = table.select([name for name in table.schema.names if not name.startswith(KEEP)]).to_pylist()
    results = [
        {"prediction": None, "confidence": None, "error": "no such iris"}
        if row["sepal_length"] == failing
        else {"prediction": "setosa", "confidence": row["sepal_length"], "error": None}
        for row in rows
    ]
    schema = result_schema(IRIS)
    failed = sum(result["error"] is not None for result in results)
    data = write_ipc([pa.RecordBatch.from_pylist(results, schema=schema)], schema)
    return data, len(rows) - failed, failed


def worker_ledger(gateway: Gateway, *, max_attempts: int = 5) -> Ledger:
    client = FakeStrictRedis(server=gateway.client.server)  # type: ignore[attr-defined]
    return Ledger(client, lambda *_: None, worker="w", lease_s=30, max_attempts=max_attempts)


def give_up_next(gateway: Gateway) -> None:
    """A chunk with a single attempt, which fails."""
    ledger = worker_ledger(gateway, max_attempts=1)
    held = ledger.claim(IRIS_KEY)
    assert held is not None
    ledger.hand_back(IRIS_KEY, held, at_fault=True)
    if following := ledger.claim(IRIS_KEY):
        ledger.hand_back(IRIS_KEY, following, at_fault=False)


async def stored_job(
    gateway: Gateway, chunks: Sequence[Sequence[dict[str, object]]], **about: Any
) -> JobRecord:
    """A job with chunks of `sepal_length` and the kept columns of `about`, like those of a file."""
    new = NewJob(id=new_job_id(), model="iris", version="1.0.0", digest="ab" * 32, owner="anonymous", **about)
    await gateway.jobs.ledger.open_job(new)
    for index, rows in enumerate(chunks):
        batch = pa.RecordBatch.from_pylist(
            [{name if name == "sepal_length" else KEEP + name: v for name, v in row.items()} for row in rows]
        )
        gateway.jobs.payloads.put(rows_path(new.id, index), write_ipc([batch], batch.schema))
        await gateway.jobs.ledger.append_chunks(new.id, new.key, [len(rows)])
    return await gateway.jobs.ledger.seal(new.id)


def submission(rows: int, **more: Any) -> dict[str, Any]:
    return {"model": "iris", "inputs": [[i, 1, 1, 1] for i in range(rows)]} | more
