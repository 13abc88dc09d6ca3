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

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access.authenticator import authenticated, token_of
from api.access.principal import asker_of, set_principal
from api.gateway import Gateway
from api.http.bodies import read_json
from api.http.disconnects import ClientLeftError, has_left
from api.http.envelope import request_id_of, respond
from api.http.fields import field_of
from api.http.prefer import preferred_wait_s, prefers_async
from api.jobs.json_chunks import unpacked_body
from api.models.catalog import Servable
from api.online.admission_control import AdmissionController
from api.online.inflight import Answered
from api.online.paths import PredictPath, predict_path_of
from api.online.stage_clock import StageClock
from api.routes.respond_async import defer
from api.telemetry.counters import ROUTE
from api.telemetry.tracing import trace_of
from shared.access import Role, key_id_of
from shared.errors import InvalidInput, TaktError
from shared.tabular.formats import Packing, packing_of
from shared.tabular.json_bodies import in_utf_8, refuse_other

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
        try:
            await self._predict(servable, target, scope, receive, send)
        except ClientLeftError:  # no response is needed
            servable.counters.failed["client_left"] += 1
        except TaktError as error:
            servable.counters.failed[error.code] += 1
            raise

    async def _predict(
        self, servable: Servable, target: PredictPath, scope: Scope, receive: Receive, send: Send
    ) -> None:
        gateway = self._gateway
        headers = dict(scope["headers"])
        body = await self._body(scope, headers, receive)
        prefer = field_of(scope["headers"], b"prefer")
        asked_s = preferred_wait_s(prefer)
        wait_s = gateway.online.admission.wait_s(asked_s)

        later = prefers_async(prefer)
        if not target.batch and not later:  # a single row: admission needs no parsing
            gateway.online.admission.admit(servable, 1, wait_s, asker_of(scope))

        trace = trace_of(scope)
        validating_ns = time.time_ns() if trace is not None else 0
        clock = StageClock()
        validator = servable.validator
        try:
            values = validator.read_batch(body) if target.batch else validator.read_one(body)
        except InvalidInput:
            refuse_other(body)
            raise
        clock.mark("validate")
        if later:
            response = await defer(gateway, asker_of(scope), servable, values, headers=headers, body=body)
            await response(scope, receive, send)
            return
        columns = servable.encode(values)
        rows = len(values[0])
        clock.mark("encode")

        if target.batch:
            gateway.online.admission.admit(servable, rows, wait_s, asker_of(scope))
        if (quota := asker_of(scope).quota) is not None:
            await gateway.access.limiter.charge(quota, rows, scope)
        answered = await gateway.online.dispatcher.submit(
            servable.key,
            servable.spec,
            columns,
            rows,
            wait_s=wait_s,
            left=partial(has_left, receive),
            request_id=request_id_of(scope),
            traceparent=trace.traceparent if trace is not None else "",
            owner=asker_of(scope).online_owner,
        )
        clock.mark_answered(answered)
        render = servable.renderer.batch if target.batch else servable.renderer.one
        content = render(answered.columns)
        clock.mark("serialize")
        servable.times.add(clock.times_ms, rows, answered.batch_rows)
        if trace is not None:
            trace.predicted(servable.key, rows, answered.batch_rows, clock.times_ms, validating_ns)
        await respond(send, 200, about(servable, clock, answered, asked_s, gateway.online.admission), content)

    async def _body(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """The whole body, decompressed. The size limit applies before and after decompression."""
        settings = self._gateway.settings
        packing = packing_of(field_of(scope["headers"], b"content-encoding") or b"")
        most_bytes = settings.max_body_bytes
        body = await read_json(headers, receive, most_bytes, idle_s=settings.upload_idle_s)
        if packing is not Packing.NONE:
            body = await asyncio.to_thread(unpacked_body, body, packing, most_bytes)
        return in_utf_8(body, headers.get(b"content-type", b""))


def about(
    servable: Servable, clock: StageClock, answered: Answered, asked_s: int | None, door: AdmissionController
) -> list[tuple[bytes, bytes]]:
    """The headers of a result: model version, stage times, and the applied `wait` preference."""
    headers = [
        (b"x-model-version", servable.version.encode()),
        (b"server-timing", clock.header(answered.batch_rows)),
    ]
    if asked_s is not None:
        headers.append((b"preference-applied", b"wait=%d" % door.wait_s(asked_s)))
    return headers
