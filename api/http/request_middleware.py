"""The request middleware: request ids, error responses, access log, traces. Pure ASGI.

While the gateway shuts down, every response carries `Connection: close`. A request that is cancelled at the
end of the grace gets `queue_unavailable`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import TYPE_CHECKING

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from api.http.error_answers import Headers, answer_of, foreseen, stopping
from api.http.error_formats import JSON, TAKT, ErrorFormat, format_of
from api.http.headers import headers_of
from api.http.lifecycle import Lifecycle
from api.telemetry.gateway_counters import Telemetry
from api.telemetry.request_tracing import put_trace
from shared.errors import ForbiddenError, ServiceError, UnauthorizedError

if TYPE_CHECKING:
    from api.telemetry.request_spans import RequestTrace

log = structlog.get_logger()

REQUEST_ID = b"x-request-id"
CLOSE = (b"connection", b"close")
_IDS_A_DRAW = 64
_SANE = re.compile(rb"[\x21-\x7e]{1,128}")


def request_id_of(scope: Scope) -> str:
    """The id that `RequestMiddleware` assigned to this request."""
    request_id: str = scope["takt.request_id"]
    return request_id


class RequestMiddleware:
    """Sets X-Request-ID on every response and converts errors to responses.

    The id is the client's if it has 1 to 128 visible ASCII characters, otherwise a random id.
    """

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle, telemetry: Telemetry, *, access_log: bool) -> None:
        self._app = app
        self._lifecycle = lifecycle
        self._telemetry = telemetry
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_in(scope["headers"])
        scope["takt.request_id"] = request_id.decode()
        status: int | None = None
        begun_s = perf_counter()
        trace = self._trace(scope)
        bind_contextvars(**_ids(scope, trace))

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                closing = (CLOSE,) if self._lifecycle.draining else ()
                more = headers_of(scope)
                message["headers"] = [*message.get("headers", ()), (REQUEST_ID, request_id), *more, *closing]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except (Exception, asyncio.CancelledError) as error:
            if status is not None:  # the response has begun: the server closes the connection
                raise
            found = stopping() if isinstance(error, asyncio.CancelledError) else foreseen(error)
            if isinstance(found, UnauthorizedError | ForbiddenError):
                log.info("access_refused", code=found.code, client=_client(scope), path=scope["path"])
            form = format_of(scope["path"], scope["headers"])
            code, headers, body = answer_of(found, scope["takt.request_id"], form)
            await respond(send_with_id, code, headers, body, form.media_type)
        finally:
            took_s = perf_counter() - begun_s
            self._telemetry.http.ended(scope, status, took_s)
            if self._access_log:
                log_access(scope, status, took_s)
            if trace is not None:
                trace.end(scope, status)

    def _trace(self, scope: Scope) -> RequestTrace | None:
        if self._telemetry.traces is None:
            return None
        trace = self._telemetry.traces.begin(scope, request_id_of(scope))
        if trace is not None:
            put_trace(scope, trace)
        return trace


def _ids(scope: Scope, trace: RequestTrace | None) -> dict[str, str]:
    ids = {"request_id": request_id_of(scope)}
    return ids if trace is None else ids | {"trace_id": trace.trace_id}


def log_access(scope: Scope, status: int | None, took_s: float) -> None:
    """Log the path without the query, which may hold user data. `status` is None if no response was sent."""
    ms = round(took_s * 1000, 3)
    log.info("request_ended", method=scope["method"], path=scope["path"], status=status, took_ms=ms)


def _client(scope: Scope) -> str:
    """The address of the client; behind a trusted proxy, the address that the proxy forwards."""
    client = scope.get("client")
    return client[0] if client else ""


def request_id_in(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The request id of these headers if it is valid, otherwise a new id."""
    for name, value in headers:
        if name == REQUEST_ID:
            return value if _SANE.fullmatch(value) else new_request_id()
    return new_request_id()


def new_request_id() -> bytes:
    """As random as a UUID."""
    return next(_random_ids)


def _drawn_ids() -> Iterator[bytes]:
    """Random ids without end, drawn many at a time: each draw is a system call."""
    while True:
        drawn = os.urandom(16 * _IDS_A_DRAW).hex().encode()
        for start in range(0, len(drawn), 32):
            yield drawn[start : start + 32]


_random_ids = _drawn_ids()


def whole_body(body: bytes, media_type: bytes = JSON) -> list[tuple[bytes, bytes]]:
    """The headers of a complete body."""
    return [
        (b"content-type", media_type),
        (b"x-content-type-options", b"nosniff"),
        (b"content-length", b"%d" % len(body)),
    ]


def error_answer(
    error: ServiceError | HTTPException, request_id: bytes, form: ErrorFormat = TAKT
) -> tuple[int, Headers, bytes]:
    """Status, headers and body of an error response that does not pass through `RequestMiddleware`."""
    status, headers, body = answer_of(error, request_id.decode(), form)
    return status, [*whole_body(body, form.media_type), *headers, (REQUEST_ID, request_id)], body


async def respond(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes, media_type: bytes = JSON
) -> None:
    """Send a complete response."""
    start = {
        "type": "http.response.start",
        "status": status,
        "headers": whole_body(body, media_type) + headers,
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})
