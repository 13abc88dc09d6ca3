"""The HTTP protocol of a connection: uvicorn's, with limits on heads and connections and with a fast path.

uvicorn limits neither the time that a client may take to send a head nor the number of connections; its
keep-alive timer ends with the first byte of a request. Here a client that sends its head too slowly, or sends
nothing, gets 408 and the connection closes. If all connections are taken, a new client gets 503. The limits
on bodies apply while a body is read. One timer serves all connections (`api/server/timeouts.py`).

The most frequent requests need no task: rejections under overload, decided by the head alone
(`api/online/admission_controller.py`), and predictions of a single row (`api/server/fast_path.py`). uvicorn
serves all other requests.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection
from functools import partial
from typing import NamedTuple, cast

import httptools
from starlette.exceptions import HTTPException
from starlette.types import Scope
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.gateway import Gateway
from api.http.error_answers import Headers, foreseen
from api.http.error_formats import format_of
from api.http.error_status import status_of
from api.http.framing import closing_unread, in_close_framing, stays_in_http_1_0
from api.http.open_files import most_connections, most_open_files
from api.http.request_heads import origin_form, wrong_head
from api.http.request_middleware import CLOSE, error_answer, new_request_id, request_id_in
from api.server.fast_path import FastPathRequest, fast_request_of
from api.server.timeouts import ConnectionTimeouts, TimedConnection, WaitPhase
from api.telemetry.gateway_counters import OTHER, UNREAD
from shared.errors import OverloadedError, ServiceError
from shared.library_hooks import require_hooks

require_hooks(
    "uvicorn",
    HttpToolsProtocol,
    (
        *("connection_made", "data_received", "connection_lost", "on_headers_complete", "on_url"),
        *("on_body", "on_message_complete", "on_response_complete", "send_400_response"),
        *("_should_upgrade", "handle_websocket_upgrade", "_start_asgi_task"),
    ),
    attributes=(
        *("connections", "flow", "headers", "loop", "parser", "pipeline", "server_state"),
        *("timeout_keep_alive", "transport"),
    ),
)
require_hooks(
    "uvicorn",
    RequestResponseCycle,
    ("run_asgi",),
    attributes=(
        *("body", "keep_alive", "message_event", "more_body", "response_complete", "scope", "transport"),
        *("chunked_encoding", "expected_content_length", "response_started", "waiting_for_100_continue"),
    ),
)

MOST_TARGET_BYTES = 16 * 2**10
MOST_HEAD_BYTES = 64 * 2**10
MOST_FIELDS = 200
"""Limits of a request's head: bytes of its target, bytes in total, number of header fields."""
_RETRY_AFTER_S = 5.0


class WholeAnswers:
    """A transport that sends the head of a response together with its body, if the length is known.

    uvicorn writes the two separately, which costs two system calls and two packets.
    """

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 ") and b"\r\ncontent-length: " in data:
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Write a head that is still buffered. The response to a HEAD request has no body."""
        if self._head:
            self.write(b"")

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


class _Held(NamedTuple):
    """A fast-path request whose body is not complete yet."""

    cycle: RequestResponseCycle
    app: ASGI3Application
    request: FastPathRequest


class LimitedProtocol(HttpToolsProtocol):
    """An HTTP connection. `protocol_of` sets the class attributes that depend on the gateway."""

    gateway: Gateway
    timeouts: ConnectionTimeouts
    most_connections: int
    _awaits = WaitPhase.HEAD
    _since_s = 0.0
    _held: _Held | None = None
    _head_bytes = 0
    """Bytes received of a head that is not complete yet."""
    _upgrade_at: int | None = None
    """Offset in the newest data at which a head with an `Upgrade` field ends."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._answers = WholeAnswers(transport)
        self.timeouts.watch(cast("Collection[TimedConnection]", self.connections), self.loop)
        if len(self.connections) > self.most_connections:
            self._refuse(OverloadedError("Too many connections.", retry_after_s=_RETRY_AFTER_S))
        else:
            self._await(WaitPhase.HEAD)

    def data_received(self, data: bytes) -> None:
        if self._awaits is WaitPhase.NEXT:
            self._await(WaitPhase.HEAD)
        super().data_received(data)
        if self._awaits is WaitPhase.HEAD:
            self._count_head(len(data))
        while self._upgrade_at is not None:
            data = self._head_without_upgrade() + data[self._upgrade_at :]
            self._upgrade_at = None
            self.parser = httptools.HttpRequestParser(self)
            super().data_received(data)

    def _should_upgrade(self) -> bool:
        """Called by uvicorn for a head with an `Upgrade` field, and for CONNECT, which is not supported."""
        return bool(self.parser.get_method() != b"CONNECT")

    def handle_websocket_upgrade(self) -> None:
        """Called by uvicorn while it handles httptools' exception for such a head."""
        upgrade = sys.exc_info()[1]
        assert isinstance(upgrade, httptools.HttpParserUpgrade)
        self._upgrade_at = upgrade.args[0]

    def _head_without_upgrade(self) -> bytes:
        """The newest head without its `Upgrade` field: the client gets a response over HTTP/1.1."""
        version = self.parser.get_http_version().encode()
        lines = [b"%s: %s\r\n" % line for line in self.headers if line[0] != b"upgrade"]
        return b"%s %s HTTP/%s\r\n%s\r\n" % (
            self.parser.get_method(),
            self.url,
            version,
            b"".join(lines),
        )

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for data that is not valid HTTP, and if a parser callback raised."""
        error = sys.exc_info()[1]
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
        self._refuse(foreseen(cause) if isinstance(cause, MemoryError) else HTTPException(400, msg))

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MOST_TARGET_BYTES:
            self._break_off(
                HTTPException(414, f"The request target is longer than {MOST_TARGET_BYTES} bytes.")
            )

    def on_headers_complete(self) -> None:
        if len(self.headers) > MOST_FIELDS:
            self._break_off(HTTPException(431, f"The request has more than {MOST_FIELDS} header fields."))
        if (wrong := wrong_head(self.headers, self.parser.get_http_version())) is not None:
            self._break_off(wrong)
        self._awaits = WaitPhase.NOTHING
        if not self.url.startswith(b"/"):
            self.url = origin_form(self.url)
        super().on_headers_complete()

    def _break_off(self, error: HTTPException) -> None:
        """Reject the request that is being parsed. Raising ends the parsing: the parser passes it on."""
        self._refuse(error)
        raise error

    def on_body(self, body: bytes) -> None:
        if self._held is None:
            super().on_body(body)
        else:  # no task waits for it, and its length is limited
            self._held.cycle.body += body

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._held is not None:
            self._begin(self._held)

    def on_response_complete(self) -> None:
        """uvicorn's, with two differences: no timer per request, and pipelined requests start from the event
        loop, because direct calls would nest as deep as the client has pipelined requests."""
        self._answers.flush()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self.loop.call_soon(self._start_next)
        else:
            self._await(WaitPhase.NEXT)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._held is not None:
            self._fall_back(self._held)  # the ASGI path counts the request as `client_left`

    def check_timeout(self, now_s: float) -> None:
        """Close the connection if its client has taken too long. Called by `ConnectionTimeouts`."""
        waited_s = now_s - self._since_s
        if self.transport.is_closing():
            return
        if self._awaits is WaitPhase.HEAD and waited_s >= self.timeouts.head_limit_s:
            self._refuse(self.timeouts.late_head())
        elif self._awaits is WaitPhase.NEXT and waited_s >= self.timeout_keep_alive:
            self.transport.close()
        elif self._held is not None and waited_s >= self.timeouts.every_s:
            self._fall_back(self._held)  # the ASGI path limits the time between parts of a body

    def _count_head(self, size_bytes: int) -> None:
        """Reject an incomplete head that is larger than MOST_HEAD_BYTES."""
        self._head_bytes += size_bytes
        if self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(HTTPException(431, f"The request head is larger than {MOST_HEAD_BYTES} bytes."))

    def _await(self, phase: WaitPhase) -> None:
        self._head_bytes = 0
        self._awaits = phase
        self._since_s = self.loop.time()

    def _start_next(self) -> None:
        if self.pipeline and not self.transport.is_closing():
            self._start_asgi_task(*self.pipeline.pop())

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Called by uvicorn after a head, and for a pipelined request when its turn comes."""
        # a paused transport: only a task can wait until the client reads its responses
        if self.flow.write_paused or stays_in_http_1_0(cycle.scope):
            self._start_task(cycle, app)
            return
        refusal = (
            self.gateway.online.admission.refusal(cycle.scope)
            if self.gateway.online.admission.refusing
            else None
        )
        if refusal is not None:
            self._reject(cycle, refusal)
        elif (request := self._fast_request_of(cycle)) is not None:
            self._hold(_Held(cycle, app, request))
        else:
            self._start_task(cycle, app)

    def _hold(self, held: _Held) -> None:
        if held.cycle.more_body:
            self._held = held
            self._await(WaitPhase.BODY)
        else:  # the body of a pipelined request is complete already
            self._begin(held)

    def _fast_request_of(self, cycle: RequestResponseCycle) -> FastPathRequest | None:
        if cycle.waiting_for_100_continue:
            return None
        finish = partial(self._finish, cycle)
        return fast_request_of(self.gateway, cycle.scope, finish, self.transport.is_closing)

    def _begin(self, held: _Held) -> None:
        self._held, self._awaits = None, WaitPhase.NOTHING
        if not held.request.begin(bytes(held.cycle.body)):
            self._start_task(held.cycle, held.app)

    def _fall_back(self, held: _Held) -> None:
        """Serve a held request on the ASGI path."""
        self._held, self._awaits = None, WaitPhase.NOTHING
        if held.cycle.body:
            held.cycle.message_event.set()
        self._start_task(held.cycle, held.app)

    def _start_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.transport = cast(asyncio.Transport, self._answers)  # it has the methods that a cycle calls
        if cycle.scope["http_version"] == "1.0":
            app = in_close_framing(app, cycle)
        if cycle.waiting_for_100_continue:
            app = closing_unread(app, cycle)
        super()._start_asgi_task(cycle, app)

    def _reject(self, cycle: RequestResponseCycle, refusal: ServiceError) -> None:
        self.gateway.telemetry.http.ended(cast(Scope, cycle.scope), status_of(refusal.code), 0.0)
        headers = cycle.scope["headers"]
        form = format_of(cycle.scope["path"], headers)
        self._finish(cycle, *error_answer(refusal, request_id_in(headers), form))

    def _finish(self, cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> None:
        """Send the response of a request that has no task. The rest of its body is discarded."""
        cycle.response_complete = True
        if self.transport.is_closing():
            return
        self._write(
            status, headers, body, keep_alive=cycle.keep_alive and not self.gateway.lifecycle.draining
        )
        self.on_response_complete()

    def _refuse(self, error: ServiceError | HTTPException) -> None:
        """Send an error and close the connection, before a request is complete or if it is not valid HTTP."""
        if not self.transport.is_closing():
            status, headers, body = error_answer(error, new_request_id())
            self.gateway.telemetry.http.add(UNREAD, OTHER, status, 0.0)
            self._write(status, headers, body, keep_alive=False)

    def _write(self, status: int, headers: Headers, body: bytes, *, keep_alive: bool) -> None:
        """Write a whole response without uvicorn's request cycle."""
        lines = [b"%s: %s\r\n" % header for header in (*self.server_state.default_headers, *headers)]
        if not keep_alive and CLOSE not in headers:
            lines.append(b"%s: %s\r\n" % CLOSE)
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
        if not keep_alive:
            self.transport.close()


def protocol_of(gateway: Gateway) -> type[LimitedProtocol]:
    """The protocol class of a gateway, limited by its settings and by the number of files it may open.

    Raises OperatorError if the process may open too few files.
    """
    most = most_connections(most_open_files(), gateway.settings.max_connections)
    known = {
        "gateway": gateway,
        "timeouts": ConnectionTimeouts(gateway.settings.head_limit_s),
        "most_connections": most,
    }
    return type("GatewayProtocol", (LimitedProtocol,), known)
