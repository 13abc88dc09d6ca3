"""`GET /jobs/{id}/manifest`: model, runtimes, library versions and digests of an ended job.

`input_digest` and `output_digest` of a chunk are the digests that the ledger recorded when the rows and the
result were written: `blake3:` and 64 hexadecimal digits. `input_sha256` and `output_sha256` are SHA-256 over
the stored objects, Arrow IPC streams, byte for byte. Each object is compared with its recorded digest first;
a changed or missing object has no SHA-256, so the manifest never follows a changed object. The digests of the
job, `inputs_sha256` and `outputs_sha256`, are SHA-256 over the SHA-256 of its chunks in order, 32 bytes each.
A chunk that was given up has no output and contributes no digest.

The recorded digests are null for jobs of older Takt versions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pyarrow
from fastapi import APIRouter, Request, Response
from msgspec.json import encode
from pydantic import BaseModel, Field

from api.access.principal import Caller
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from api.jobs.authorization import own_job, own_results
from api.jobs.job_views import moment
from shared.errors import (
    PayloadError,
    PayloadStoreAwayError,
    RecordUnreadableError,
    ResultsNotReadyError,
    ServiceError,
)
from shared.integrity import digest_of
from shared.job_payloads import JobObjects
from shared.ledger import ChunkRecord, ChunkState, JobRecord, computed_by_name
from shared.tabular.result_pieces import ENDED, failed_rows, readable

router = APIRouter()


class ChunkManifest(BaseModel):
    index: int
    rows: int
    rows_failed: int
    attempts: int
    input_digest: str | None = Field(description="As recorded; null if an older Takt recorded none")
    output_digest: str | None = Field(
        description="As recorded; null if the chunk was given up, or if none was"
    )
    input_sha256: str | None = Field(description="Null if the rows are missing or were changed")
    output_sha256: str | None = Field(
        description="Null if the chunk was given up, or if its result is missing or was changed"
    )
    computed_by: str | None = Field(description="Key of an entry in the job's `computed_by`")


class ComputedBy(BaseModel):
    """The software and hardware that computed some chunks of a job."""

    artifact_sha256: str
    runtime: str = Field(description="The runtime for each call size, as text")
    device: str = Field(description="cpu or cuda:N")
    precision: str = Field(description="Numeric precision of the computation")
    machine: str = Field("", description="CPU architecture, such as x86_64")
    versions: dict[str, str] = Field(description="Versions of Takt, Python and the libraries")


class Manifest(BaseModel):
    """Provenance of an ended job: model, software, inputs and results with digests. Times are UTC."""

    job_id: str
    state: str
    reference: str
    model: str
    version: str
    model_sha256: str
    built_with: dict[str, str] = Field(description="Library versions that built the model's artifact")
    versions: dict[str, str] = Field(description="takt and pyarrow of the gateway that wrote this manifest")
    rows_total: int | None
    rows_succeeded: int
    rows_failed: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    chunks: list[ChunkManifest] = Field(description="The chunks that have ended")
    inputs_sha256: str | None = Field(
        description="SHA-256 over the chunks' `input_sha256`, as 32 bytes each; null if any is missing"
    )
    outputs_sha256: str | None = Field(
        description="SHA-256 over the chunks' `output_sha256`, as 32 bytes each; null if any is missing"
    )
    computed_by: dict[str, ComputedBy] = Field(
        description="Software and hardware that computed the chunks, by the `computed_by` of the chunks"
    )


@router.get("/jobs/{job_id}/manifest", response_model=Manifest, responses=of_errors(404, 409, 410, 503))
async def manifest(job_id: str, request: Request, gateway: GatewayState, caller: Caller) -> Response:
    """Provenance of an ended job: model, software, inputs and results with digests."""
    record = await own_job(gateway.jobs, caller, job_id)
    if not record.state.ended:
        raise ResultsNotReadyError(
            f"The job is {record.state}; its manifest is available after it has ended."
        )
    _, chunks, inline = await own_results(gateway.jobs, caller, job_id, partial=True)
    ended = [chunk for chunk in readable(record, chunks) if chunk.state in ENDED]
    objects = JobObjects(gateway.jobs.payloads, job_id, inline)
    about = _about(gateway, record) | {"versions": _versions(request.app.version)}
    body = await asyncio.to_thread(lambda: encode(about | _of_chunks(record, ended, objects)))
    return Response(body, media_type="application/json")


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
    """The library versions that were recorded at submission.

    Records of older releases lack them; the artifact's manifest is used then, if the repository still has the
    version that the job is pinned to.
    """
    if record.built_with:
        return record.built_with
    try:
        built = gateway.catalog.repository.version(record.model, record.version).manifest
    except ServiceError:
        return {}
    return built.frameworks if built.sha256 == record.digest else {}


def _versions(takt: str) -> dict[str, str]:
    return {"takt": takt, "pyarrow": pyarrow.__version__}


def _of_chunks(record: JobRecord, chunks: Sequence[ChunkRecord], objects: JobObjects) -> dict[str, Any]:
    entries = [_entry(chunk, objects) for chunk in chunks]
    outputs = [entry for entry, chunk in zip(entries, chunks, strict=True) if _is_done(chunk)]
    return {
        "chunks": entries,
        "inputs_sha256": _joint([entry["input_sha256"] for entry in entries]),
        "outputs_sha256": _joint([entry["output_sha256"] for entry in outputs]),
        "computed_by": {name: _described(name, text) for name, text in record.computed_by.items()},
    }


def _described(name: str, text: str) -> Any:  # Any: JSON; a newer worker may record more fields
    """The decoded record. Raises RecordUnreadableError if it does not match the name, which is its digest."""
    if computed_by_name(text) != name:
        raise RecordUnreadableError("The job's `computed_by` was changed after it was recorded.")
    return msgspec.json.decode(text)


def _joint(digests: Sequence[str | None]) -> str | None:
    """The SHA-256 over several digests; None if any of them is missing."""
    known = [digest for digest in digests if digest is not None]
    if len(known) < len(digests):
        return None
    return digest_of(b"".join(map(bytes.fromhex, known)))


def _entry(chunk: ChunkRecord, objects: JobObjects) -> dict[str, Any]:
    is_done = _is_done(chunk)
    return {
        "index": chunk.index,
        "rows": chunk.rows,
        "rows_failed": failed_rows(chunk),
        "attempts": chunk.attempts,
        "input_digest": chunk.rows_digest or None,
        "output_digest": chunk.result_digest or None if is_done else None,
        "input_sha256": _sha256(lambda: objects.rows(chunk)),
        "output_sha256": _sha256(lambda: objects.result(chunk)) if is_done else None,
        "computed_by": chunk.computed_by or None if is_done else None,
    }


def _is_done(chunk: ChunkRecord) -> bool:
    return chunk.state is ChunkState.DONE


def _sha256(read: Callable[[], bytes]) -> str | None:
    """The SHA-256 of an intact object; None if it is missing or was changed."""
    try:
        return digest_of(read())
    except PayloadStoreAwayError:
        raise
    except PayloadError:
        return None
