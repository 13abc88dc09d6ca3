"""A gateway that accepts files, with jobs that the test runs; the stored objects."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import httpx

from api.gateway import Gateway
from shared.arrow_tables import read_ipc
from shared.payloads import rows_path
from tests.unit.gateway_fakes import FakeRedis, running_gateway, until
from tests.unit.job_stage import built

Stage: TypeAlias = tuple[Gateway, httpx.AsyncClient]

HEADER = b"sepal_length,sepal_width,petal_length,petal_width\n"
CSV = HEADER + b"".join(b"%d,1,1,1\n" % i for i in range(5))
AS_CSV = {"content-type": "text/csv"}
KEY = {"idempotency-key": "lot-7"}


@asynccontextmanager
async def upload_stage(client: FakeRedis, folder: Path, **changes: Any) -> AsyncIterator[Stage]:
    """Chunks of two rows, and two uploads at a time."""
    built(folder / "models")
    async with running_gateway(
        client,
        folder / "payloads",
        models_dir=folder / "models",
        chunk_rows=2,
        max_job_bytes=20_000_000,
        max_uploads=2,
        **changes,
    ) as (gateway, http):
        gateway.jobs.ledger._notify = lambda _key, _count: None  # no worker receives Celery messages here
        await until(lambda: gateway.queue.up)
        yield gateway, http


async def post(
    http: httpx.AsyncClient, body: Any, headers: dict[str, str] = AS_CSV, **query: Any
) -> httpx.Response:
    return await http.post("/jobs", params={"model": "iris"} | query, content=body, headers=headers)


async def stored_rows(gateway: Gateway, job_id: str) -> list[float]:
    chunks = await gateway.jobs.ledger.chunks(job_id)
    tables = [read_ipc(gateway.jobs.payloads.get(rows_path(job_id, chunk.index))) for chunk in chunks]
    return [value for table in tables for value in table["sepal_length"].to_pylist()]


async def accepted_rows(gateway: Gateway) -> int:
    """Rows of the newest job, once some are stored."""
    for _ in range(1000):
        jobs = await gateway.jobs.ledger.newest(None, before_ms=None, most=1)
        if jobs and jobs[0].rows_accepted:
            return jobs[0].rows_accepted
        await asyncio.sleep(0.005)
    raise AssertionError("no row was stored")


def objects(folder: Path) -> list[Path]:
    # os.walk passes over a folder that goes meanwhile
    return [Path(at) / name for at, _, names in os.walk(folder / "payloads") for name in names]


async def job_of(http: httpx.AsyncClient, answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(answer.headers["location"])).json()
    return found
