"""A call between its metadata and its status: authentication, errors, metrics, traces, access log.

A call is described by an ASGI scope, as an HTTP request is: gRPC's metadata are HTTP/2 headers.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, TypeAlias

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from starlette.exceptions import HTTPException
from starlette.types import Scope
from structlog.contextvars import bind_contextvars

from api.access.permissions import RPC_SERVICE, RPCS
from api.gateway import Gateway
from api.http.error_answers import content_of, foreseen
from api.http.headers import headers_of
from api.http.request_middleware import log_access, request_id_in, request_id_of
from api.routes.prediction_steps import OnlineRequests
from api.telemetry.gateway_counters import ROUTE
from api.telemetry.request_tracing import put_trace
from shared.errors import ForbiddenError, InvalidInputError, ServiceError, UnauthorizedError

log = structlog.get_logger()

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Answer: TypeAlias = Callable[[Any, Scope, Context], Awaitable[Any]]
"""Answers the request of a call (Any: its messages)."""
METHOD = "GRPC"
"""The method of calls in metrics and logs."""

_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    412: grpc.StatusCode.ABORTED,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""By the HTTP status of an error."""


class Calls:
    """The calls of a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.online = OnlineRequests(gateway)
        self._gateway = gateway

    def unary(self, name: str, kind: type[Message], answer: Answer) -> Callable[[bytes, Context], Any]:
        """A handler of a call with one request and one response. `kind`: of the request"""

        async def handle(data: bytes, context: Context) -> Any:
            async with self._call(name, context) as scope:
                return await answer(_read(kind, data), scope, context)

        return handle

    def stream(
        self, name: str, kind: type[Message], answer: Answer, refused: Callable[[str], Any]
    ) -> Callable[[AsyncIterator[bytes], Context], AsyncIterator[Any]]:
        """A handler of a call with any number of requests, answered one after another.

        `refused` makes the response of a request that fails: the stream goes on.
        """

        async def handle(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
            async with self._call(name, context) as scope:
                async for data in requests:
                    try:
                        response = await answer(_read(kind, data), scope, context)
                    except ServiceError as error:
                        response = refused(content_of(error, request_id_of(scope)).sentence)
                    yield response

        return handle

    @asynccontextmanager
    async def _call(self, name: str, context: Context) -> AsyncIterator[Scope]:
        """The scope of a call. Aborts the call with a status if the block raises."""
        scope = _scope(name, context)
        begun_s, status, failure = perf_counter(), None, None
        traces = self._gateway.telemetry.traces
        trace = traces.begin(scope, request_id_of(scope)) if traces is not None else None
        if trace is not None:
            put_trace(scope, trace)
        try:
            if not RPCS[name].open:
                await self.online.caller(scope, RPCS[name])
            yield scope
            status = 200
        except Exception as error:
            failure = foreseen(error)
            status = content_of(failure, "").status
            _log(failure, scope, context)
        finally:
            took_s = perf_counter() - begun_s
            self._gateway.telemetry.http.ended(scope, status, took_s)
            if self._gateway.settings.access_log:
                log_access(scope, status, took_s)
            if trace is not None:
                trace.end(scope, status)
        if failure is not None:
            await _abort(context, failure, scope)


def _read(kind: type[Message], data: bytes) -> Message:
    """A request. grpcio itself would answer an unreadable one without a cause. Raises InvalidInputError."""
    request = kind()
    try:
        request.ParseFromString(data)
    except DecodeError:
        name = kind.DESCRIPTOR.full_name
        raise InvalidInputError(f"The request is not a valid message of the type {name}.") from None
    return request


def _scope(name: str, context: Context) -> Scope:
    headers = [
        (key.encode(), value if isinstance(value, bytes) else value.encode())
        for key, value in context.invocation_metadata() or ()
    ]
    path = f"/{RPC_SERVICE}/{name}"
    request_id = request_id_in(headers).decode()
    return {
        "type": "http",
        "method": METHOD,
        "path": path,
        "headers": headers,
        "takt.request_id": request_id,
        ROUTE: path,
    }


def _log(failure: ServiceError | HTTPException, scope: Scope, context: Context) -> None:
    bind_contextvars(request_id=request_id_of(scope))
    if isinstance(failure, UnauthorizedError | ForbiddenError):
        log.info("access_refused", code=failure.code, client=context.peer(), path=scope["path"])


async def _abort(context: Context, failure: ServiceError | HTTPException, scope: Scope) -> None:
    """End the call with the status of an error, its sentence, and its code in the trailing metadata."""
    content = content_of(failure, request_id_of(scope))
    trailing = [("takt-error", content.code), ("x-request-id", content.request_id)]
    trailing += [(name.decode(), value.decode()) for name, value in headers_of(scope)]
    if isinstance(failure, ServiceError) and failure.retry_after_s is not None:
        trailing.append(("retry-after", str(math.ceil(failure.retry_after_s))))
        trailing.append(("grpc-retry-pushback-ms", str(math.ceil(failure.retry_after_s * 1000))))
    status = _STATUS.get(content.status, grpc.StatusCode.INTERNAL)
    await context.abort(status, content.sentence, tuple(trailing))


def remaining_s(context: Context) -> float:
    """The time until the client's deadline; infinite without one."""
    left_s = context.time_remaining()
    return math.inf if left_s is None else max(0.0, left_s)
