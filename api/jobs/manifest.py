"""`GET /jobs/{id}/manifest`: what was predicted, by what, from what, with digests of both sides.

`input_sha256` and `output_sha256` of a chunk are SHA-256 over its stored objects: the rows and the results
as Arrow IPC streams, byte for byte. The job's own, `inputs_sha256` and `outputs_sha256`, are SHA-256 over
the digests of its chunks in their order, 32 bytes each; a chunk that was given up has no output and adds
none. They are computed as the manifest is read, chunk by chunk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pyarrow
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from api.gateway import Gateway
from api.jobs.objects import JobObjects
from api.jobs.ownership import own_job
from api.jobs.pieces import ENDED, failed_rows, readable
from api.jobs.views import moment
from api.jobs.writers import in_threads
from api.online.answers import encode
from api.principals import Asker
from api.state import GatewayState
from api.web.errors import of_errors
from shared.errors import ResultsNotReady, TaktError
from shared.ledger import ChunkRecord, ChunkState, JobRecord

router = APIRouter()


class ChunkManifest(BaseModel):
    index: int
    rows: int
    rows_failed: int
    attempts: int
    input_sha256: str
    output_sha256: str | None = Field(description="Null where the chunk was given up")


class Manifest(BaseModel):
    """What an ended job was made from, by what, and what came of it. Times are UTC."""

    job_id: str
    state: str
    reference: str
    model: str
    version: str
    model_sha256: str
    built_with: dict[str, str] = Field(description="Library versions that made the model's artifact")
    versions: dict[str, str] = Field(description="Of the gateway that wrote this: takt and pyarrow")
    rows_total: int | None
    rows_succeeded: int
    rows_failed: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    chunks: list[ChunkManifest] = Field(description="Those that have ended")
    inputs_sha256: str = Field(description="SHA-256 over the chunks' `input_sha256`, as 32 bytes each")
    outputs_sha256: str = Field(description="SHA-256 over the chunks' `output_sha256`, as 32 bytes each")


@router.get("/jobs/{job_id}/manifest", response_model=Manifest, responses=of_errors(404, 409, 410, 503))
async def manifest(job_id: str, request: Request, gateway: GatewayState, asker: Asker) -> Response:
    """What an ended job was made from, by what, and what came of it, with digests."""
    record = await own_job(gateway, asker, job_id)
    if not record.state.ended:
        raise ResultsNotReady(f"The job is {record.state}; its manifest is written once it has ended.")
    chunks = readable(record, await gateway.ledger.chunks(job_id))
    ended = [chunk for chunk in chunks if chunk.state in ENDED]
    about = _about(gateway, record) | {"versions": _versions(request.app.version)}
    objects = JobObjects(gateway.payloads, job_id, await gateway.ledger.inline(job_id))
    parts = in_threads(_parts(objects, about, ended))
    return StreamingResponse(parts, media_type="application/json")


def _about(gateway: Gateway, record: JobRecord) -> dict[str, Any]:
    return {
        "job_id": record.id,
        "state": record.state,
        "reference": record.reference,
        "model": record.model,
        "version": record.version,
        "model_sha256": record.digest,
        "built_with": _built_with(gateway, record),
        "rows_total": record.rows_total,
        "rows_succeeded": record.rows_succeeded,
        "rows_failed": record.rows_failed,
        "created_at": moment(record.created_at_ms),
        "started_at": None if record.started_at_ms is None else moment(record.started_at_ms),
        "finished_at": None if record.finished_at_ms is None else moment(record.finished_at_ms),
    }


def _built_with(gateway: Gateway, record: JobRecord) -> dict[str, str]:
    """What was recorded at submission. Records of an older release lack it: then the artifact's manifest,
    if the repository still has the version that the job is pinned to."""
    if record.built_with:
        return record.built_with
    try:
        built = gateway.catalog.repository.version(record.model, record.version).manifest
    except TaktError:
        return {}
    return built.frameworks if built.sha256 == record.digest else {}


def _versions(takt: str) -> dict[str, str]:
    return {"takt": takt, "pyarrow": pyarrow.__version__}


def _parts(objects: JobObjects, about: dict[str, Any], chunks: list[ChunkRecord]) -> Iterator[bytes]:
    """The manifest's JSON. Blocking: it reads every object of the job, one at a time."""
    inputs, outputs = hashlib.sha256(), hashlib.sha256()
    yield encode(about)[:-1] + b',"chunks":['
    for place, chunk in enumerate(chunks):
        taken = hashlib.sha256(objects.rows(chunk)).digest()
        done = chunk.state is ChunkState.DONE
        given = hashlib.sha256(objects.result(chunk)).digest() if done else b""
        inputs.update(taken)
        outputs.update(given)
        yield (b"," if place else b"") + encode(_entry(chunk, taken, given))
    sums = {"inputs_sha256": inputs.hexdigest(), "outputs_sha256": outputs.hexdigest()}
    yield b"]," + encode(sums)[1:]


def _entry(chunk: ChunkRecord, taken: bytes, given: bytes) -> dict[str, Any]:
    return {
        "index": chunk.index,
        "rows": chunk.rows,
        "rows_failed": failed_rows(chunk),
        "attempts": chunk.attempts,
        "input_sha256": taken.hex(),
        "output_sha256": given.hex() or None,
    }
