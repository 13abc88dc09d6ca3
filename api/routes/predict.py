"""Predictions on the ASGI path.

    POST /predict[/batch]                                    the default model
    POST /models/{name}/predict[/batch]                      the default version of a model
    POST /models/{name}/versions/{version}/predict[/batch]   a version of a model

Common single-row requests never reach this module, see `api/server/fast_path.py`. These paths are matched
before the framework's routing; all other requests go to the inner application.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access.authenticator import authenticated, token_of
from api.access.principal import asker_of, set_principal
from api.gateway import Gateway
from api.http.envelope import request_id_of, respond
from api.http.headers import field_of, preferred_wait_s, prefers_async
from api.http.request_bodies import ClientLeftError, has_left, read_body, read_json
from api.jobs.json_chunks import unpacked_body
from api.online.image_bodies import takes_files
from api.online.inflight import Answered
from api.online.paths import predict_path_of
from api.online.prediction import Prediction
from api.routes.respond_async import defer
from api.telemetry.gateway_counters import ROUTE
from api.telemetry.request_tracing import trace_of
from shared.access import Role, key_id_of
from shared.errors import ServiceError
from shared.messages import Column
from shared.tabular.content_types import Packing, packing_of
from shared.tabular.json_bodies import in_utf_8
from shared.validation import Values

if TYPE_CHECKING:
    from api.telemetry.request_spans import RequestTrace

ALLOWED = "OPTIONS, POST"
"""The `Allow` header of these paths."""


class Predictions:
    """Middleware that serves predictions and passes every other request to `app`."""

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = predict_path_of(scope["path"]) if scope["type"] == "http" else None
        if target is None or scope["method"] == "OPTIONS":
            await self._app(scope, receive, send)
            return
        scope[ROUTE] = target.route
        if scope["method"] != "POST":
            raise HTTPException(405, "Method Not Allowed", {"Allow": ALLOWED})
        authenticator, headers = self._gateway.access.authenticator, scope["headers"]
        asker = await authenticated(
            authenticator,
            partial(authenticator.authenticate, headers),
            key_id_of(token_of(dict(headers)) or b""),
        )
        asker.require(Role.PREDICT)
        set_principal(scope, asker)
        if asker.quota is not None:
            await self._gateway.access.limiter.admit(asker.quota, scope)
        servable = self._gateway.catalog.find(target.model, target.version, asker)
        prefer = field_of(scope["headers"], b"prefer")
        asked_s = preferred_wait_s(prefer)
        wait_s = self._gateway.online.admission.wait_s(asked_s)
        prediction = Prediction(servable, target.batch, asked_s, wait_s)
        answer = self._defer if prefers_async(prefer) else self._predict
        try:
            await answer(prediction, scope, receive, send)
        except ClientLeftError as error:  # no response is needed
            prediction.count_failure(error)
        except ServiceError as error:
            prediction.count_failure(error)
            raise

    async def _defer(self, prediction: Prediction, scope: Scope, receive: Receive, send: Send) -> None:
        """Make the rows a job, which needs no admission."""
        headers = dict(scope["headers"])
        body = await self._body(prediction, scope, headers, receive)
        values, servable = _values(prediction, headers, body), prediction.servable
        response = await defer(self._gateway, asker_of(scope), servable, values, headers=headers, body=body)
        await response(scope, receive, send)

    async def _predict(self, prediction: Prediction, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        body = await self._body(prediction, scope, headers, receive)
        if not prediction.batch:  # a single row: admission needs no parsing
            self._admit(prediction, 1, scope)
        trace = trace_of(scope)
        validating_ns = time.time_ns() if trace is not None else 0
        columns = prediction.encode(_values(prediction, headers, body))
        if prediction.batch:
            self._admit(prediction, prediction.rows, scope)
        answered = await self._answered(prediction, columns, scope, receive, trace)
        head, content = prediction.finish(answered)
        if trace is not None:
            times_ms, key = prediction.clock.times_ms, prediction.servable.key
            trace.predicted(key, prediction.rows, answered.batch_rows, times_ms, validating_ns)
        await respond(send, 200, head, content)

    def _admit(self, prediction: Prediction, rows: int, scope: Scope) -> None:
        self._gateway.online.admission.admit(prediction.servable, rows, prediction.wait_s, asker_of(scope))

    async def _answered(
        self,
        prediction: Prediction,
        columns: list[Column],
        scope: Scope,
        receive: Receive,
        trace: RequestTrace | None,
    ) -> Answered:
        """Charge the rows to the key's quota, and wait for the workers' answer."""
        asker, servable, rows = asker_of(scope), prediction.servable, prediction.rows
        if asker.quota is not None:
            await self._gateway.access.limiter.charge(asker.quota, rows, scope)
        return await self._gateway.online.dispatcher.submit(
            servable.key,
            servable.spec,
            columns,
            rows,
            wait_s=prediction.wait_s,
            left=partial(has_left, receive),
            request_id=request_id_of(scope),
            traceparent=trace.traceparent if trace is not None else "",
            owner=asker.online_owner,
        )

    async def _body(
        self, prediction: Prediction, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive
    ) -> bytes:
        """The whole body, decompressed. The size limit applies before and after decompression."""
        settings = self._gateway.settings
        has_files = _has_files(prediction, headers)
        read = read_body if has_files else read_json
        packing = packing_of(field_of(scope["headers"], b"content-encoding") or b"")
        most_bytes = settings.max_body_bytes
        body = await read(headers, receive, most_bytes, idle_s=settings.upload_idle_s)
        if packing is not Packing.NONE:
            body = await asyncio.to_thread(unpacked_body, body, packing, most_bytes)
        return body if has_files else in_utf_8(body, headers.get(b"content-type", b""))


def _has_files(prediction: Prediction, headers: Mapping[bytes, bytes]) -> bool:
    """Whether the body is an image or a form, and no JSON."""
    content_type = headers.get(b"content-type", b"")
    return not prediction.batch and takes_files(prediction.servable.spec, content_type)


def _values(prediction: Prediction, headers: Mapping[bytes, bytes], body: bytes) -> Values:
    if _has_files(prediction, headers):
        return prediction.read_files(headers[b"content-type"], body)
    return prediction.read(body)
