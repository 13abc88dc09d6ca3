"""`GET /jobs/{id}/results` and `/errors`: results and failed rows, streamed in the order of the inputs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from api.access.principal import Caller
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from api.http.headers import text_field
from api.http.parameter_errors import require_known_parameters
from api.jobs.authorization import own_job, own_results
from api.jobs.job_views import POLL_AFTER_S
from api.jobs.lost_results import recompute, recomputing, recomputing_each
from shared.errors import ResultLostError, ResultsNotReadyError
from shared.job_payloads import JobObjects
from shared.ledger import JobRecord, JobState
from shared.specs import ModelSpec
from shared.tabular.content_negotiation import negotiated
from shared.tabular.file_formats import RESULT_FORMATS, FileFormat
from shared.tabular.result_pieces import Piece, failed_pieces_of, failed_rows, pieces_of, readable
from shared.tabular.result_tables import ErrorTables, ResultTables
from shared.tabular.writers import JsonWriter, error_objects, in_threads, result_objects, tabular, written

router = APIRouter()

_SMALL_ROWS = 1000
_VARY = {"Vary": "Accept"}

ERROR_FORMATS = (FileFormat.JSON, FileFormat.NDJSON, FileFormat.CSV)

Offset: TypeAlias = Annotated[int, Query(ge=0, description="The first row")]
Limit: TypeAlias = Annotated[int | None, Query(ge=0, description="Maximum number of rows. Default: all rows")]
FormatName: TypeAlias = Annotated[
    str | None,
    Query(
        alias="format",
        description="Format of the response; overrides `Accept`",
        json_schema_extra={"enum": [*RESULT_FORMATS], "examples": ["csv"]},
    ),
]


def accepted(request: Request) -> str | None:
    """The `Accept` header, repeated lines joined."""
    return text_field(request.scope, "accept")


Accept: TypeAlias = Annotated[str | None, Depends(accepted)]  # OpenAPI lists the media types instead


class JobResults(BaseModel):
    """Results in the order of the inputs. A result holds the model's outputs, or only `error`.

    If the job keeps columns, each result begins with `row` and these columns. A partial result always begins
    with `row`.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "job_id": "0e6f3b0c6c5b4c64a8f64b0f6d3c9c11",
                    "results": [
                        {"prediction": "setosa", "confidence": 0.98},
                        {"error": "sepal_width is missing"},
                    ],
                    "total_count": 2,
                }
            ]
        }
    )

    job_id: str
    results: list[dict[str, Any]]
    total_count: int


class RowError(BaseModel):
    row: int
    id: Any = None  # the value of the job's id column; missing if the job has none
    error: str


class JobErrors(BaseModel):
    """The rows that have failed so far, in the order of the inputs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "job_id": "0e6f3b0c6c5b4c64a8f64b0f6d3c9c11",
                    "errors": [{"row": 17, "id": "S-0017", "error": "sepal_width is missing"}],
                    "total_count": 1,
                }
            ]
        }
    )

    job_id: str
    errors: list[RowError]
    total_count: int


def contents(*formats: FileFormat) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` for a response in several formats (Any: FastAPI's own type)."""
    text, binary = {"type": "string"}, {"type": "string", "format": "binary"}
    schemas = {kind: text if kind in (FileFormat.NDJSON, FileFormat.CSV) else binary for kind in formats}
    return {200: {"content": {kind.media_type: {"schema": schemas[kind]} for kind in formats[1:]}}}


@router.get(
    "/jobs/{job_id}/results",
    response_model=JobResults,
    responses=contents(*RESULT_FORMATS) | of_errors(404, 406, 409, 410, 422, 503),
    dependencies=[Depends(require_known_parameters)],
)
async def results(
    job_id: str,
    gateway: GatewayState,
    caller: Caller,
    *,
    offset: Offset = 0,
    limit: Limit = None,
    name: FormatName = None,
    accept: Accept = None,
    partial: Annotated[
        bool,
        Query(
            description="Return the rows that are done, while the job runs or after it was canceled or failed"
        ),
    ] = False,
) -> Response:
    """Results of a job that has succeeded, in the order of its inputs.

    `offset` and `limit` count the job's rows. With `partial`, rows that have not run are omitted, and `row`
    is the index of each returned row.
    """
    kind = negotiated(name, accept)
    record, chunks, inline = await own_results(gateway.jobs, caller, job_id, partial=partial)
    if record.state is not JobState.SUCCEEDED and not partial:
        raise not_ready(record)
    pieces = pieces_of(readable(record, chunks), offset, limit)
    objects = JobObjects(gateway.jobs.payloads, job_id, inline)
    tables = ResultTables(objects, record, pieces, _spec(gateway, record))

    def parts() -> Iterator[bytes]:
        if kind is not FileFormat.JSON:
            return written(tables, tabular(kind, tables.schema))
        kept = tables.kept_names
        shape = result_objects(kept, placed=partial or bool(kept))
        return written(tables, JsonWriter("results", job_id, _rows(record), shape))

    file_name = f"{record.model}-{job_id[:8]}"
    if inline.result and kind is FileFormat.JSON:  # the ledger holds the result; no object has to be read
        return await _of_ledger(gateway, parts)
    return await answered(gateway, parts, kind, file_name, whole=_is_small(pieces))


@router.get(
    "/jobs/{job_id}/errors",
    response_model=JobErrors,
    responses=contents(*ERROR_FORMATS) | of_errors(404, 406, 409, 410, 422, 503),
    dependencies=[Depends(require_known_parameters)],
)
async def errors(
    job_id: str,
    gateway: GatewayState,
    caller: Caller,
    *,
    offset: Offset = 0,
    limit: Limit = None,
    name: FormatName = None,
    accept: Accept = None,
) -> Response:
    """Failed rows of a job, in any state of the job. `offset` and `limit` count failed rows."""
    kind = negotiated(name, accept, ERROR_FORMATS)
    record = await own_job(gateway.jobs, caller, job_id)
    chunks = readable(record, await gateway.jobs.ledger.chunks(job_id))
    objects = JobObjects(gateway.jobs.payloads, job_id, await gateway.jobs.ledger.inline(job_id))
    tables = ErrorTables(objects, record, failed_pieces_of(chunks, offset, limit))

    def parts() -> Iterator[bytes]:
        if kind is not FileFormat.JSON:
            return written(tables, tabular(kind, tables.schema))
        return written(tables, JsonWriter("errors", job_id, sum(map(failed_rows, chunks)), error_objects))

    return await answered(gateway, parts, kind, f"{record.model}-{job_id[:8]}-errors", whole=False)


def _rows(record: JobRecord) -> int:
    return record.rows_accepted if record.rows_total is None else record.rows_total


def _spec(gateway: Gateway, record: JobRecord) -> ModelSpec | None:
    """The current spec of the job's model; None if the repository no longer has the model."""
    return gateway.catalog.repository.specs.get(record.model)


def not_ready(record: JobRecord) -> ResultsNotReadyError:
    if record.state.ended:
        detail = f"The job has ended as {record.state}; use ?partial=true to read the rows that are done."
        return ResultsNotReadyError(detail)
    return ResultsNotReadyError(f"The job is {record.state}.", retry_after_s=POLL_AFTER_S)


def _is_small(pieces: Sequence[Piece]) -> bool:
    """Whether one read of a small object is enough for the response."""
    return len(pieces) == 1 and pieces[0].chunk.rows <= _SMALL_ROWS


async def _of_ledger(gateway: Gateway, parts: Callable[[], Iterator[bytes]]) -> Response:
    """The JSON results of a small job, without a thread. Raises ResultsNotReadyError."""
    try:
        body = b"".join(parts())
    except ResultLostError as lost:
        raise await recompute(gateway.jobs.ledger, lost) from lost
    return Response(body, media_type=FileFormat.JSON.media_type, headers=_VARY)


async def answered(
    gateway: Gateway,
    parts: Callable[[], Iterator[bytes]],
    kind: FileFormat,
    file_name: str,
    *,
    whole: bool,
) -> Response:
    """The response with the written parts.

    `whole`: build the body in one thread call, instead of one call per streamed part. Raises
    ResultsNotReadyError
    if a result was lost and is computed again, PayloadLost.
    """
    headers = dict(_VARY)
    if kind is not FileFormat.JSON:
        headers["Content-Disposition"] = f'attachment; filename="{file_name}.{kind}"'
    if whole:
        joined = asyncio.to_thread(lambda: b"".join(parts()))
        body = await recomputing(gateway.jobs.ledger, joined)
        return Response(body, media_type=kind.media_type, headers=headers)
    made = await recomputing(gateway.jobs.ledger, asyncio.to_thread(parts))
    rest = recomputing_each(gateway.jobs.ledger, in_threads(made))
    first = await anext(rest)  # before the response begins, a lost result can still be reported as an error
    return StreamingResponse(_chain(first, rest), media_type=kind.media_type, headers=headers)


async def _chain(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in rest:
        yield part
