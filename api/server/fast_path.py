"""The fast path: predictions with small bodies, served without a task per request.

    head ─ fast_request_of ─▶ FastPathRequest ─ body ─▶ begin ─▶ OnlineDispatcher ─▶ set_result ─▶ response

For each request uvicorn creates a task, an event and a scope, and the response passes through the event loop
and ASGI again. On the ASGI path (`api/routes/predict.py`) this takes most of a request's CPU time. On the
fast path the connection's callback submits the row to the dispatcher, and the dispatcher's reply reader
writes the response.

The fast path serves only common requests. For all others `fast_request_of` returns None, or `begin` returns
False before it counts anything; the ASGI path then serves the same head and body.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from time import perf_counter
from typing import cast

from starlette.types import Scope
from structlog.contextvars import bind_contextvars
from uvicorn._types import HTTPScope

from api.access.principal import Principal
from api.gateway import Gateway
from api.http.cors import ORIGIN
from api.http.error_answers import Headers, foreseen
from api.http.error_formats import format_of
from api.http.headers import field_of, preferred_wait_s, prefers_async
from api.http.request_bodies import ClientLeftError, is_json
from api.http.request_middleware import REQUEST_ID, error_answer, request_id_in, whole_body
from api.inference_protocol.infer_bodies import JSON_LENGTH
from api.online.image_bodies import may_hold_files, takes_files
from api.online.inflight import Answered
from api.online.prediction import ROUTING_KEY, Prediction
from api.online.prediction_paths import PredictPath, Protocol, predict_path_of
from api.routes.inference_protocol.infer import InferenceCall, is_tensor_body
from api.telemetry.gateway_counters import ROUTE
from shared.api_keys import Role
from shared.errors import OverloadedError, UnsupportedMediaTypeError
from shared.messages import Column
from shared.tabular.json_bodies import names_charset

MOST_BYTES = 16 * 1024
"""Largest JSON body. For larger bodies the cost of a task is small, and connections need not buffer them."""
MOST_FILE_BYTES = 2**20
"""Largest image or form, which needs no parsing."""
_UNSUPPORTED_HEADERS = frozenset((ORIGIN, b"content-encoding", b"expect"))
"""A request with one of these headers takes the ASGI path."""
Finish = Callable[[int, Headers, bytes], None]
"""Sends status, headers and body."""


def fast_request_of(
    gateway: Gateway, scope: HTTPScope, finish: Finish, left: Callable[[], bool]
) -> FastPathRequest | None:
    """The fast-path request of a head; None if the request must take the ASGI path.

    `left` returns whether the client has disconnected.
    """
    target = predict_path_of(scope["path"])
    if target is None or scope["method"] != "POST" or not gateway.fast_path:
        return None
    infers = target.protocol is Protocol.INFERENCE
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    if (target.batch and not infers) or not length.isdigit():
        return None
    content_type = headers.get(b"content-type", b"")
    holds_json = is_json(content_type)
    holds_files = not holds_json and not infers and may_hold_files(content_type)
    most_bytes = MOST_FILE_BYTES if holds_files else MOST_BYTES
    if int(length) > min(most_bytes, gateway.settings.max_body_bytes):
        return None
    if (
        not _UNSUPPORTED_HEADERS.isdisjoint(headers)
        or not (holds_json or holds_files or (infers and is_tensor_body(content_type)))
        or names_charset(content_type)
        or (infers and b"accept-encoding" in headers)  # the response may be compressed
    ):
        return None
    prefer = field_of(scope["headers"], b"prefer") if b"prefer" in headers else None
    if prefers_async(prefer):
        return None
    asked_s = preferred_wait_s(prefer)
    kind = FastInference if infers else FastFiles if holds_files else FastPathRequest
    return kind(gateway, cast(Scope, scope), target, asked_s, finish=finish, left=left)


class FastPathRequest:
    """A request and its response. The dispatcher uses it in place of a future, see `Outcome`."""

    __slots__ = (
        "_asked_s",
        "_begun_s",
        "_finish",
        "_gateway",
        "_left",
        "_prediction",
        "_request_id",
        "_scope",
        "_target",
    )

    _prediction: Prediction

    def __init__(
        self,
        gateway: Gateway,
        scope: Scope,
        target: PredictPath,
        asked_s: int | None,
        *,
        finish: Finish,
        left: Callable[[], bool],
    ) -> None:
        scope[ROUTE] = target.route
        self._gateway = gateway
        self._scope = scope
        self._target = target
        self._asked_s = asked_s
        self._finish = finish
        self._left = left
        self._request_id = request_id_in(scope["headers"])
        self._begun_s = perf_counter()

    def begin(self, body: bytes) -> bool:
        """Submit the row to the dispatcher, or reject it if the gateway is overloaded.

        Returns False if the request must take the ASGI path, which repeats the checks and reports errors.
        """
        gateway, target = self._gateway, self._target
        wait_s = gateway.online.admission.wait_s(self._asked_s)
        try:
            if gateway.host_names is not None:
                gateway.host_names.check(self._scope["headers"])
            caller = gateway.access.authenticator.authenticate(self._scope["headers"])
            caller.require(Role.PREDICT)
            if caller.quota is not None:  # counted in Redis
                return False
            catalog = gateway.catalog
            servable = catalog.find(target.model, target.version, caller)
            if catalog.splits and target.version is None:
                servable = catalog.route(servable, dict(self._scope["headers"]).get(ROUTING_KEY))
            prediction = Prediction(servable, target.batch, self._asked_s, wait_s)
            self._prediction = prediction
            columns = self._admitted(prediction, body, caller)
        except OverloadedError as error:
            servable.counters.shed[error.code] += 1
            self.set_exception(error)
            return True
        except Exception:
            return False
        servable.counters.admitted += 1
        gateway.online.dispatcher.ask(
            servable.key,
            servable.spec,
            columns,
            prediction.rows,
            wait_s=prediction.wait_s,
            outcome=self,
            left=self._left,
            request_id=self._request_id.decode(),
            owner=caller.online_owner,
            output_dtypes=prediction.output_dtypes,
        )
        return True

    def _admitted(self, prediction: Prediction, body: bytes, caller: Principal) -> list[Column]:
        """The columns of the body, if the request may enter the queue: a row needs no parsing for that."""
        self._gateway.online.admission.judge(prediction.servable, 1, prediction.wait_s, caller)
        return prediction.encode(prediction.read(body))

    def done(self) -> bool:
        return False  # only the dispatcher ends it, and only once

    def set_result(self, answered: Answered, /) -> None:
        try:
            headers, body = self._prediction.finish(answered)
        except Exception as error:
            self.set_exception(error)
            return
        self._end(200, [*whole_body(body), *headers, (REQUEST_ID, self._request_id)], body)

    def set_exception(self, error: Exception, /) -> None:
        self._prediction.count_failure(error)
        if isinstance(error, ClientLeftError):
            self._count(None)
            return
        copy_context().run(self._fail, error)  # a copy, so that the bound log ids do not leak

    def _fail(self, error: Exception) -> None:
        bind_contextvars(request_id=self._request_id.decode())
        form = format_of(self._scope["path"], self._scope["headers"])
        self._end(*error_answer(foreseen(error), self._request_id, form))

    def _end(self, status: int, headers: Headers, body: bytes) -> None:
        self._count(status)
        self._finish(status, headers, body)

    def _count(self, status: int | None) -> None:
        self._gateway.telemetry.http.ended(self._scope, status, perf_counter() - self._begun_s)


class FastFiles(FastPathRequest):
    """A request whose body is an image, or a form with images."""

    __slots__ = ()

    def _admitted(self, prediction: Prediction, body: bytes, caller: Principal) -> list[Column]:
        content_type = dict(self._scope["headers"])[b"content-type"]
        if not takes_files(prediction.servable.spec, content_type):
            raise UnsupportedMediaTypeError  # by the ASGI path, which names the types that this model takes
        self._gateway.online.admission.judge(prediction.servable, 1, prediction.wait_s, caller)
        return prediction.encode(prediction.read_files(content_type, body))


class FastInference(FastPathRequest):
    """A request of the Open Inference Protocol, with any number of rows."""

    __slots__ = ("_call",)

    _call: InferenceCall

    def _admitted(self, prediction: Prediction, body: bytes, caller: Principal) -> list[Column]:
        gateway = self._gateway
        json_length = dict(self._scope["headers"]).get(JSON_LENGTH)
        self._call = call = InferenceCall(body, json_length, prediction.servable)
        columns = call.read(prediction, gateway)
        gateway.online.admission.judge(prediction.servable, prediction.rows, prediction.wait_s, caller)
        return columns

    def set_result(self, answered: Answered, /) -> None:
        try:
            headers, response = self._prediction.finish_with(answered, self._call.render)
        except Exception as error:
            self.set_exception(error)
            return
        whole = whole_body(response.content, response.media_type)
        own = (REQUEST_ID, self._request_id)
        self._end(200, [*whole, *headers, *response.headers, own], response.content)
