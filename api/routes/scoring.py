"""MLflow's scoring protocol and SageMaker's container contract.

POST /invocations                  the default model
POST /models/{name}/invocations    the default version of a model
GET  /ping, /version               health, and the version of this server
GET  /execution-parameters         of SageMaker's batch transform
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Response
from msgspec.json import encode
from pydantic import BaseModel
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from api.gateway import GatewayState
from api.http.headers import field_of
from api.http.request_bodies import has_left, offloaded
from api.http.request_middleware import respond
from api.online.prediction import Prediction
from api.routes.prediction_steps import OnlineRequests, TraceStages
from api.scoring.json_frames import read_json_frame
from api.scoring.scoring_tables import read_table
from shared import VERSION
from shared.errors import PayloadTooLargeError
from shared.messages import Column, OutputColumn
from shared.tabular.content_types import is_json, wrapping_of_body
from shared.tabular.json_bodies import in_utf_8

router = APIRouter(tags=["scoring protocol"])
_MOST_CONCURRENT = 100
_MOST_PAYLOAD_MB = 100
"""Limits of SageMaker."""


class ExecutionParameters(BaseModel):
    MaxConcurrentTransforms: int
    BatchStrategy: str
    MaxPayloadInMB: int


class Invocations:
    """Answers invocations of a gateway."""

    def __init__(self, online: OnlineRequests) -> None:
        self._online = online

    async def invoke(self, prediction: Prediction, scope: Scope, receive: Receive, send: Send) -> None:
        content_type = (field_of(scope["headers"], b"content-type") or b"").decode("latin-1")
        wrapping = None if is_json(content_type) else wrapping_of_body(content_type, "")
        body = await self._online.body(scope, receive, lambda _: True)
        stages = TraceStages(scope)
        validator = prediction.servable.validator
        if wrapping is None:
            read = partial(_read_json, prediction, in_utf_8(body, content_type.encode("latin-1")))
        else:
            read = partial(_read_values, prediction, partial(read_table, validator, wrapping, body))
        columns = await offloaded(len(body), lambda: prediction.read_columns(read))
        self._online.admit(prediction, prediction.rows, scope)
        answered = await self._online.answered(prediction, columns, scope, partial(has_left, receive))
        headers, content = prediction.finish_with(answered, partial(_render, prediction))
        stages.end(prediction, answered)
        await respond(send, 200, headers, content)


def _read_json(prediction: Prediction, body: bytes) -> tuple[list[Column], int]:
    servable = prediction.servable
    values = read_json_frame(servable.spec, body)
    _require_rows(prediction, len(values[0]))
    valid = servable.validator.columns(values)
    return servable.encode([valid[place] for place in range(len(valid))]), len(values[0])


def _read_values(prediction: Prediction, read: Any) -> tuple[list[Column], int]:
    values = read()
    return prediction.servable.encode(values), len(values[0])


def _require_rows(prediction: Prediction, rows: int) -> None:
    most = prediction.servable.spec.limits.max_rows_per_request
    if rows > most:
        raise PayloadTooLargeError(
            f"The request has {rows} rows; this model takes at most {most} per request."
        )


def _render(prediction: Prediction, columns: Sequence[OutputColumn]) -> bytes:
    """The values of the only output, or an object with all outputs for each row."""
    rows = columns[0] if len(columns) == 1 else prediction.servable.renderer.rows(columns)
    return encode({"predictions": rows})


@router.get("/ping", response_class=Response, responses={503: {"description": "Not ready"}})
async def ping(gateway: GatewayState) -> Response:
    """Readiness, as `/health/ready`, without a body."""
    return Response(status_code=200 if gateway.ready() else 503)


@router.get("/version", response_class=PlainTextResponse)
async def version() -> str:
    """The version of this server."""
    return VERSION


@router.get("/execution-parameters")
async def execution_parameters(gateway: GatewayState) -> ExecutionParameters:
    """What SageMaker's batch transform may send: requests at a time, and megabytes of each."""
    settings = gateway.settings
    default = gateway.catalog.default
    rows = default.spec.limits.max_rows_per_request if default is not None else 1
    return ExecutionParameters(
        MaxConcurrentTransforms=max(1, min(_MOST_CONCURRENT, settings.max_inflight_rows // rows)),
        BatchStrategy="MULTI_RECORD",
        MaxPayloadInMB=max(1, min(_MOST_PAYLOAD_MB, settings.max_body_bytes // 2**20)),
    )
