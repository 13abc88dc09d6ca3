"""`POST /jobs`: submit rows as JSON, or a file that is read as a stream."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import Headers
from starlette.types import Receive

from api.access.principal import Caller, Principal
from api.gateway import Gateway, GatewayState
from api.http.error_answers import answer_of, foreseen, of_errors
from api.http.error_formats import format_of
from api.http.headers import field_of
from api.http.parameter_errors import require_no_parameters
from api.http.request_bodies import ClientLeftError, body_parts, offloaded, read_json
from api.http.request_middleware import request_id_of
from api.jobs import idempotency
from api.jobs.job_options import job_options, pinned_job
from api.jobs.job_views import JobView
from api.jobs.json_chunks import Submission, chunks_of, examine, read_submission, unpacked_body
from api.jobs.json_rows import submit_rows
from api.jobs.multipart_form import FormBody
from api.jobs.upload import Upload, read_through, receive_upload
from api.models.catalog import Servable
from api.routes.jobs.submission_responses import ValidationReport, acceptance, report_of
from shared.errors import (
    InvalidInputError,
    PayloadTooLargeError,
    StorageFullError,
    TooManyJobsError,
    UnsupportedMediaTypeError,
)
from shared.ledger import JobRecord, NewJob
from shared.tabular.chunking import Chunk
from shared.tabular.content_types import (
    FORM,
    Packing,
    is_json,
    media_type,
    packing_of,
    parameter,
    wrapping_of_body,
)
from shared.tabular.free_memory import require_room
from shared.tabular.json_bodies import in_utf_8
from shared.tabular.reading import Digesting, Reading, UploadLimits
from shared.tabular.upload_options import read_options

router = APIRouter()

_ENDED: dict[int | str, dict[str, Any]] = {
    200: {
        "model": JobView | ValidationReport,
        "description": "The job, if it ended while the client waited; or the report of `validate_only`",
    }
}
"""FastAPI's `responses` (Any: FastAPI's own type)."""
_UNREAD = 499
"""Status of a response that is never sent, because the client has left."""


@dataclass(frozen=True)
class _Request:
    """A submission: the parts of the request that both body kinds need."""

    gateway: Gateway
    caller: Principal
    headers: Headers
    receive: Receive
    request_id: str

    @property
    def key(self) -> str | None:
        return self.headers.get(idempotency.HEADER)

    async def charge(self, rows: int) -> None:
        """Charge rows to the key's quota.

        Raises RateLimited, and Unauthorized if the key was revoked or expired since the request began.
        """
        self.gateway.access.authenticator.authenticate(self.headers.raw)
        await self.gateway.access.limiter.charge(self.caller.quota, rows)

    async def accepted(self, record: JobRecord, *, replayed: bool) -> Response:
        prefer = field_of(self.headers.raw, b"prefer")
        return await acceptance(self.gateway, record, prefer, replayed=replayed)


@router.post(
    "/jobs",
    status_code=202,
    response_model=JobView,
    responses=_ENDED | of_errors(404, 408, 409, 413, 415, 422, 503),
)
async def submit(request: Request, gateway: GatewayState, caller: Caller) -> Response:
    """Submit rows or a file as a job. `Location` is the URL of the job."""
    submitted = _Request(gateway, caller, request.headers, request.receive, request_id_of(request.scope))
    try:
        if is_json(request.headers.get("content-type", "")):
            require_no_parameters(request.query_params, Submission.__struct_fields__)
            return await _submit_json(submitted)
        return await _submit_file(submitted, list(request.query_params.multi_items()))
    except ClientLeftError:
        return Response(status_code=_UNREAD)


async def _submit_json(submitted: _Request) -> Response:
    gateway = submitted.gateway
    packing = packing_of(submitted.headers.get("content-encoding", ""))
    body = await read_json(
        dict(submitted.headers.raw),
        submitted.receive,
        gateway.settings.max_job_body_bytes,
        idle_s=gateway.settings.upload_idle_s,
    )
    body = await _unpacked(gateway, body, packing)
    submission, servable = await offloaded(len(body), lambda: _read(submitted, body))
    options = job_options(submission)
    if submission.validate_only:
        return report_of(await offloaded(len(body), lambda: examine(servable.validator, submission)))
    chunks = await offloaded(len(body), lambda: _cut(gateway, submitted.caller, servable, submission))
    record, replayed = await submit_rows(
        gateway.jobs, submitted.caller, servable, chunks, options, key=submitted.key, body=body
    )
    return await submitted.accepted(record, replayed=replayed)


async def _unpacked(gateway: Gateway, body: bytes, packing: Packing) -> bytes:
    if packing is Packing.NONE:
        return body
    return await asyncio.to_thread(unpacked_body, body, packing, gateway.settings.max_job_body_bytes)


def _read(submitted: _Request, body: bytes) -> tuple[Submission, Servable]:
    content_type = submitted.headers.get("content-type", "").encode("latin-1")
    submission = read_submission(in_utf_8(body, content_type))
    return submission, submitted.gateway.catalog.find(submission.model, submission.version, submitted.caller)


def _cut(gateway: Gateway, caller: Principal, servable: Servable, submission: Submission) -> list[Chunk]:
    return chunks_of(
        servable.validator,
        submission,
        chunk_rows=gateway.jobs.chunk_rows(servable, caller),
        chunk_bytes=gateway.settings.chunk_bytes,
    )


async def _submit_file(submitted: _Request, query: list[tuple[str, str]]) -> Response:
    """Errors before the rows are read create no job. Later errors also end the job as failed."""
    gateway = submitted.gateway
    await _refuse_too_long(gateway, submitted.headers.get("content-length", ""))
    upload, servable = await _upload(submitted, query)
    with gateway.jobs.uploads.held():
        require_room()
        return await _read_file(submitted, upload, servable)


async def _read_file(submitted: _Request, upload: Upload, servable: Servable) -> Response:
    gateway, options = submitted.gateway, upload.reading.options
    if options.validate_only:
        return report_of(await read_through(gateway.jobs, upload, _dropped))
    gateway.queue.require_open()
    await gateway.access.limiter.require_rows(submitted.caller.quota)
    reserved = (
        idempotency.reservation_name(submitted.caller.name, submitted.key)
        if submitted.key is not None
        else ""
    )
    new = await pinned_job(gateway.jobs, submitted.caller, servable, job_options(options), reserved)
    if reserved and (taken := await idempotency.reserve(gateway.jobs.ledger, reserved, new.id)):
        digest = await _digest(gateway, upload)
        record = await idempotency.same_job(gateway.jobs.ledger, taken, digest)
        return await submitted.accepted(record, replayed=True)
    return await _taken_in(submitted, upload, new)


async def _taken_in(submitted: _Request, upload: Upload, new: NewJob) -> Response:
    try:
        record = await receive_upload(submitted.gateway.jobs, upload, new, submitted.charge)
    except (ClientLeftError, TooManyJobsError):  # no job was created
        raise
    except Exception as error:
        form = format_of("/jobs", submitted.headers.raw)
        status, headers, body = answer_of(foreseen(error), submitted.request_id, form)
        named = {name.decode(): value.decode() for name, value in headers}
        location = {"Location": f"/jobs/{new.id}"}
        return Response(body, status, named | location, media_type=form.media_type.decode())
    return await submitted.accepted(record, replayed=False)


async def _upload(submitted: _Request, query: list[tuple[str, str]]) -> tuple[Upload, Servable]:
    """Raises UnsupportedMediaTypeError, InvalidInputError, ModelNotFound."""
    content_type = submitted.headers.get("content-type", "")
    packing = submitted.headers.get("content-encoding", "")
    body = body_parts(submitted.receive, submitted.gateway.settings.upload_idle_s)
    if media_type(content_type) == FORM:
        form = FormBody(_boundary(content_type, packing), body)
        fields, wrapping = await form.head()
        query, body = [*query, *fields], form.file()
    else:
        wrapping = wrapping_of_body(content_type, packing)
    options = read_options(query)
    servable = submitted.gateway.catalog.find(options.model, options.version, submitted.caller)
    limits = _limits(submitted.gateway, submitted.caller, servable)
    reading = Reading(wrapping, servable.validator, options, limits, digested=submitted.key is not None)
    return Upload(body, reading), servable


def _boundary(content_type: str, content_encoding: str) -> str:
    if packing_of(content_encoding) is not Packing.NONE:
        raise UnsupportedMediaTypeError(
            "A form cannot be compressed; compress the file inside it (name.csv.gz)."
        )
    boundary = parameter(content_type, "boundary")
    if not boundary:
        raise InvalidInputError("The Content-Type of the form has no boundary.")
    return boundary


def _limits(gateway: Gateway, caller: Principal, servable: Servable) -> UploadLimits:
    settings = gateway.settings
    return UploadLimits(
        settings.max_job_bytes,
        gateway.jobs.chunk_rows(servable, caller),
        settings.chunk_bytes,
        settings.spool_dir,
        gateway.jobs.payloads.compression,
    )


async def _refuse_too_long(gateway: Gateway, length: str) -> None:
    """Raises PayloadTooLargeError or StorageFullError before the body is read, if its length is known."""
    if not length.isdigit():
        return
    if int(length) > gateway.settings.max_job_bytes:
        raise PayloadTooLargeError(f"The body is larger than {gateway.settings.max_job_bytes} bytes.")
    limit_bytes = await asyncio.to_thread(gateway.jobs.payloads.limit_bytes)
    if limit_bytes is not None and int(length) > limit_bytes:
        raise PayloadTooLargeError(
            f"The body is larger than the payload store's limit of {limit_bytes} bytes."
        )
    if not await asyncio.to_thread(gateway.jobs.payloads.fits, int(length)):
        raise StorageFullError


async def _digest(gateway: Gateway, upload: Upload) -> str:
    reading = upload.reading
    again = Digesting(reading.wrapping, reading.validator, reading.options, reading.limits)
    summary = await read_through(gateway.jobs, Upload(upload.body, again), _dropped)
    return idempotency.fingerprint(reading, summary.sha256)


async def _dropped(_: Chunk) -> None:
    """Discard a chunk: rows that are only validated are not stored."""
