"""Predictions on the ASGI path.

    POST /predict[/batch]                                    the default model
    POST /models/{name}/predict[/batch]                      the default version of a model
    POST /models/{name}/versions/{version}/predict[/batch]   a version of a model

Requests of other protocols differ only in their bodies: `PredictPath.protocol` selects the translation.
Common requests with small bodies never reach this module, see `api/server/fast_path.py`. All these paths are
matched before the framework's routing; other requests go to the inner application.
"""

from __future__ import annotations

from functools import partial

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access.principal import caller_of
from api.gateway import Gateway
from api.http.headers import field_of, preferred_wait_s, prefers_async
from api.http.request_bodies import ClientLeftError, has_left
from api.http.request_middleware import respond
from api.online.image_bodies import takes_files
from api.online.prediction import Prediction
from api.online.prediction_paths import Protocol, predict_path_of
from api.routes.inference_protocol.infer import Inference
from api.routes.prediction_steps import OnlineRequests, TraceStages
from api.routes.respond_async import defer
from api.routes.scoring import Invocations
from api.telemetry.gateway_counters import ROUTE
from shared.errors import ServiceError
from shared.tabular.json_bodies import in_utf_8
from shared.validation import Values

ALLOWED = "OPTIONS, POST"
"""The `Allow` header of these paths."""


class Predictions:
    """Middleware that serves predictions and passes every other request to `app`."""

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway
        self._online = OnlineRequests(gateway)
        self._protocols = {
            Protocol.TAKT: self._predict,
            Protocol.INFERENCE: Inference(self._online, gateway).infer,
            Protocol.MLFLOW: Invocations(self._online).invoke,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = predict_path_of(scope["path"]) if scope["type"] == "http" else None
        if target is None or scope["method"] == "OPTIONS":
            await self._app(scope, receive, send)
            return
        scope[ROUTE] = target.route
        if scope["method"] != "POST":
            raise HTTPException(405, "Method Not Allowed", {"Allow": ALLOWED})
        await self._online.caller(scope)
        servable = self._online.servable(target.model, target.version, scope)
        asked_s = preferred_wait_s(field_of(scope["headers"], b"prefer"))
        wait_s = self._gateway.online.admission.wait_s(asked_s)
        prediction = Prediction(servable, target.batch, asked_s, wait_s)
        try:
            await self._protocols[target.protocol](prediction, scope, receive, send)
        except ClientLeftError as error:  # no response is needed
            prediction.count_failure(error)
        except ServiceError as error:
            prediction.count_failure(error)
            raise

    async def _predict(self, prediction: Prediction, scope: Scope, receive: Receive, send: Send) -> None:
        if prefers_async(field_of(scope["headers"], b"prefer")):
            await self._defer(prediction, scope, receive, send)
            return
        content_type = field_of(scope["headers"], b"content-type") or b""
        body = await self._body(prediction, content_type, scope, receive)
        if not prediction.batch:  # a single row: admission needs no parsing
            self._online.admit(prediction, 1, scope)
        stages = TraceStages(scope)
        columns = prediction.encode(_values(prediction, content_type, body))
        if prediction.batch:
            self._online.admit(prediction, prediction.rows, scope)
        answered = await self._online.answered(prediction, columns, scope, partial(has_left, receive))
        headers, content = prediction.finish(answered)
        stages.end(prediction, answered)
        await respond(send, 200, headers, content)

    async def _defer(self, prediction: Prediction, scope: Scope, receive: Receive, send: Send) -> None:
        """Make the rows a job, which needs no admission."""
        headers = dict(scope["headers"])
        content_type = headers.get(b"content-type", b"")
        body = await self._body(prediction, content_type, scope, receive)
        values, servable = _values(prediction, content_type, body), prediction.servable
        response = await defer(self._gateway, caller_of(scope), servable, values, headers=headers, body=body)
        await response(scope, receive, send)

    async def _body(
        self, prediction: Prediction, content_type: bytes, scope: Scope, receive: Receive
    ) -> bytes:
        if _has_files(prediction, content_type):
            return await self._online.body(scope, receive, lambda _: True)
        return in_utf_8(await self._online.body(scope, receive), content_type)


def _has_files(prediction: Prediction, content_type: bytes) -> bool:
    """Whether the body is an image or a form, and no JSON."""
    return not prediction.batch and takes_files(prediction.servable.spec, content_type)


def _values(prediction: Prediction, content_type: bytes, body: bytes) -> Values:
    if _has_files(prediction, content_type):
        return prediction.read_files(content_type, body)
    return prediction.read(body)
