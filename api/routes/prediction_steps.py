"""The steps of a prediction that all protocols share: authentication, body, admission, dispatch.

caller ─▶ body ─▶ (the protocol's translation) ─▶ answered ─▶ (the protocol's response)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

from starlette.types import Receive, Scope

from api.access.authenticator import authenticated
from api.access.permissions import PREDICT, Permission
from api.access.principal import Principal, caller_of, set_principal
from api.gateway import Gateway
from api.http.headers import field_of
from api.http.request_bodies import is_json, read_body
from api.http.request_middleware import request_id_of
from api.jobs.json_chunks import unpacked_body
from api.models.catalog import Servable
from api.online.inflight import Answered, Left
from api.online.prediction import ROUTING_KEY, Prediction
from api.telemetry.request_tracing import trace_of
from shared.api_keys import key_id_of
from shared.errors import UnsupportedMediaTypeError
from shared.messages import Column
from shared.tabular.content_types import Packing, packing_of


class OnlineRequests:
    """Predictions of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def caller(self, scope: Scope, permission: Permission = PREDICT) -> Principal:
        """Authenticate a request, and count it. Raises the errors of keys, roles and quotas."""
        access, headers = self._gateway.access, scope["headers"]
        caller = await authenticated(
            access.authenticator,
            partial(access.authenticator.authenticate, headers),
            key_id_of(access.authenticator.token(headers) or b""),
        )
        permission.require(caller)
        set_principal(scope, caller)
        if caller.quota is not None:
            await access.limiter.admit(caller.quota, scope)
        return caller

    def servable(self, model: str | None, version: str | None, scope: Scope) -> Servable:
        """The model version of a request; without a version, chosen by the model's split."""
        catalog = self._gateway.catalog
        found = catalog.find(model, version, caller_of(scope))
        if catalog.splits and version is None:
            return catalog.route(found, field_of(scope["headers"], ROUTING_KEY))
        return found

    async def body(
        self,
        scope: Scope,
        receive: Receive,
        takes: Callable[[bytes], bool] = is_json,
        types: str = "application/json",
    ) -> bytes:
        """The whole body, decompressed. The size limit applies before and after decompression.

        `takes`: whether the protocol reads a Content-Type; `types`: those that it reads, for the error.
        """
        settings, headers = self._gateway.settings, dict(scope["headers"])
        if not takes(headers.get(b"content-type", b"")):
            raise UnsupportedMediaTypeError(f"The body must be {types}.")
        packing = packing_of(field_of(scope["headers"], b"content-encoding") or b"")
        most_bytes = settings.max_body_bytes
        body = await read_body(headers, receive, most_bytes, idle_s=settings.upload_idle_s)
        if packing is not Packing.NONE:
            body = await asyncio.to_thread(unpacked_body, body, packing, most_bytes)
        return body

    def admit(self, prediction: Prediction, rows: int, scope: Scope) -> None:
        self._gateway.online.admission.admit(prediction.servable, rows, prediction.wait_s, caller_of(scope))

    async def answered(
        self, prediction: Prediction, columns: list[Column], scope: Scope, left: Left
    ) -> Answered:
        """Charge the rows to the key's quota, and wait for the workers' answer."""
        caller, servable, rows = caller_of(scope), prediction.servable, prediction.rows
        if caller.quota is not None:
            await self._gateway.access.limiter.charge(caller.quota, rows, scope)
        trace = trace_of(scope)
        return await self._gateway.online.dispatcher.submit(
            servable.key,
            servable.spec,
            columns,
            rows,
            wait_s=prediction.wait_s,
            left=left,
            request_id=request_id_of(scope),
            traceparent=trace.traceparent if trace is not None else "",
            owner=caller.online_owner,
            output_dtypes=prediction.output_dtypes,
        )


class TraceStages:
    """Adds the stages of a prediction to the trace of its request, if the request is traced."""

    def __init__(self, scope: Scope) -> None:
        self._trace = trace_of(scope)
        self._validating_ns = time.time_ns() if self._trace is not None else 0

    def end(self, prediction: Prediction, answered: Answered) -> None:
        if self._trace is not None:
            times_ms, key = prediction.clock.times_ms, prediction.servable.key
            self._trace.predicted(key, prediction.rows, answered.batch_rows, times_ms, self._validating_ns)
