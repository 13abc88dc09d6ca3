"""What uvicorn leaves open: how long a client may take to say what it wants, how many may be connected, and
what an answer costs.

uvicorn limits neither; its keep-alive timer ends with the first byte of a request. A client that sends its
head a byte at a time, or nothing at all, is answered 408 here and let go; bodies have limits where they are
read. One who finds all connections taken is answered 503. Time is kept by one timer for all connections
(`api/server/timeouts.py`).

What there is most of costs no task: refusals under overload, by the head alone
(`api/online/admission_control.py`), and
predictions of a row (`api/server/fast_path.py`). All else is uvicorn's.
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
from api.http.envelope import CLOSE, error_answer, new_request_id, request_id_in
from api.http.errors import Headers, foreseen, status_of
from api.http.framing import closing_unread, in_close_framing, stays_in_http_1_0
from api.http.open_files import most_connections, most_open_files
from api.http.targets import origin_form, wrong_head
from api.server.fast_path import FastPathRequest, exchange_of
from api.server.timeouts import SWEEP_EVERY_S, ConnectionTimeouts, TimedConnection, WaitPhase
from api.telemetry.counters import OTHER, UNREAD
from shared.errors import Overloaded, RequestTimeout, TaktError
from shared.library_hooks import require_hooks

require_hooks(
    "uvicorn",
    HttpToolsProtocol,
    (
        *("connection_made", "data_received", "connection_lost", "on_headers_complete", "on_url"),
        *("on_message_complete", "on_response_complete", "send_400_response"),
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
        *("body", "keep_alive", "more_body", "response_complete", "scope", "transport"),
        *("chunked_encoding", "expected_content_length", "response_started", "waiting_for_100_continue"),
    ),
)

MOST_TARGET_BYTES = 16 * 2**10
MOST_HEAD_BYTES = 64 * 2**10
MOST_FIELDS = 200
"""Of a request's head: its target, all of it while it comes, its lines."""
_RETRY_AFTER_S = 5.0


class WholeAnswers:
    """A connection's transport for answers: a head of which the length is known leaves with its body.

    uvicorn writes them one after the other: two system calls, two packets, and a client woken twice.
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
        """The answer is over; to a HEAD request it had no body."""
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
    """A prediction whose body is still coming."""

    cycle: RequestResponseCycle
    app: ASGI3Application
    exchange: FastPathRequest


class LimitedProtocol(HttpToolsProtocol):
    """One connection. What it knows of its gateway is set by `protocol_of`."""

    gateway: Gateway
    sweeper: ConnectionTimeouts
    head_limit_s: float
    most_connections: int
    _awaits = WaitPhase.HEAD
    _since_s = 0.0
    _held: _Held | None = None
    _head_bytes = 0
    """Of a head that is not whole yet."""
    _offered_at: int | None = None
    """Where in the data that came last a head ends that offers another protocol."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._answers = WholeAnswers(transport)
        self.sweeper.watch(cast("Collection[TimedConnection]", self.connections), self.loop)
        if len(self.connections) > self.most_connections:
            self._refuse(Overloaded("Too many connections.", retry_after_s=_RETRY_AFTER_S))
        else:
            self._await(WaitPhase.HEAD)

    def data_received(self, data: bytes) -> None:
        if self._awaits is WaitPhase.NEXT:
            self._await(WaitPhase.HEAD)
        super().data_received(data)
        if self._awaits is WaitPhase.HEAD:
            self._count_head(len(data))
        while self._offered_at is not None:
            data = self._without_offer() + data[self._offered_at :]
            self._offered_at = None
            self.parser = httptools.HttpRequestParser(self)
            super().data_received(data)

    def _should_upgrade(self) -> bool:
        """Called by uvicorn where another protocol is offered. CONNECT has none, and is not for us."""
        return bool(self.parser.get_method() != b"CONNECT")

    def handle_websocket_upgrade(self) -> None:
        """Called by uvicorn once it has let go of such a head, as it handles httptools' exception."""
        offer = sys.exc_info()[1]
        assert isinstance(offer, httptools.HttpParserUpgrade)
        self._offered_at = offer.args[0]

    def _without_offer(self) -> bytes:
        """The head that was read last, without what makes it more than a request."""
        version = self.parser.get_http_version().encode()
        lines = [b"%s: %s\r\n" % line for line in self.headers if line[0] != b"upgrade"]
        return b"%s %s HTTP/%s\r\n%s\r\n" % (
            self.parser.get_method(),
            self.url,
            version,
            b"".join(lines),
        )

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for what is no HTTP, or more than one thing, and where a callback raised."""
        error = sys.exc_info()[1]
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
        self._refuse(foreseen(cause) if isinstance(cause, MemoryError) else HTTPException(400, msg))

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MOST_TARGET_BYTES:
            self._break_off(HTTPException(414, f"The target is longer than {MOST_TARGET_BYTES} bytes."))

    def on_headers_complete(self) -> None:
        if len(self.headers) > MOST_FIELDS:
            self._break_off(HTTPException(431, f"The head has more than {MOST_FIELDS} fields."))
        if (wrong := wrong_head(self.headers, self.parser.get_http_version())) is not None:
            self._break_off(wrong)
        self._awaits = WaitPhase.NOTHING
        if not self.url.startswith(b"/"):
            self.url = origin_form(self.url)
        super().on_headers_complete()

    def _break_off(self, error: HTTPException) -> None:
        """Refuse what is being parsed, and end the parsing: the parser raises what a callback raises."""
        self._refuse(error)
        raise error

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._held is not None:
            self._begin(self._held)

    def on_response_complete(self) -> None:
        """As uvicorn has it, but for its timer, and for the turn of the loop before the next of requests that
        came at once: they may be more than calls can lie within each other."""
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
            self._take_long_way(self._held)  # which counts it as one that has left

    def look(self, now_s: float) -> None:
        """Called by the sweeper: let go of a client that has taken too long."""
        waited_s = now_s - self._since_s
        if self.transport.is_closing():
            return
        if self._awaits is WaitPhase.HEAD and waited_s >= self.head_limit_s:
            self._refuse(RequestTimeout(f"The request's head did not come within {self.head_limit_s:g} s."))
        elif self._awaits is WaitPhase.NEXT and waited_s >= self.timeout_keep_alive:
            self.transport.close()
        elif self._held is not None and waited_s >= self.sweeper.every_s:
            self._take_long_way(self._held)  # there is a limit for what comes of the body

    def _count_head(self, size_bytes: int) -> None:
        """A head that is not whole yet may not grow for ever."""
        self._head_bytes += size_bytes
        if self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(HTTPException(431, f"The request's head is larger than {MOST_HEAD_BYTES} bytes."))

    def _await(self, what: WaitPhase) -> None:
        self._head_bytes = 0
        self._awaits = what
        self._since_s = self.loop.time()

    def _start_next(self) -> None:
        if self.pipeline and not self.transport.is_closing():
            self._start_asgi_task(*self.pipeline.pop())

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Called by uvicorn as soon as a head is read, or its turn has come."""
        # a client that reads no answers: a task can wait for that
        if self.flow.write_paused or stays_in_http_1_0(cycle.scope):
            self._start_task(cycle, app)
            return
        refusal = (
            self.gateway.online.admission.refusal(cycle.scope)
            if self.gateway.online.admission.refusing
            else None
        )
        if refusal is not None:
            self._send_away(cycle, refusal)
        elif (exchange := self._exchange_of(cycle)) is not None:
            self._hold(_Held(cycle, app, exchange))
        else:
            self._start_task(cycle, app)

    def _hold(self, held: _Held) -> None:
        if held.cycle.more_body:
            self._held = held
            self._await(WaitPhase.BODY)
        else:  # it came while others were being answered
            self._begin(held)

    def _exchange_of(self, cycle: RequestResponseCycle) -> FastPathRequest | None:
        if cycle.waiting_for_100_continue:
            return None
        finish = partial(self._finish, cycle)
        return exchange_of(self.gateway, cycle.scope, finish, self.transport.is_closing)

    def _begin(self, held: _Held) -> None:
        self._held, self._awaits = None, WaitPhase.NOTHING
        if not held.exchange.begin(bytes(held.cycle.body)):
            self._start_task(held.cycle, held.app)

    def _take_long_way(self, held: _Held) -> None:
        self._held, self._awaits = None, WaitPhase.NOTHING
        self._start_task(held.cycle, held.app)

    def _start_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.transport = cast(asyncio.Transport, self._answers)  # it has what a cycle uses of one
        if cycle.scope["http_version"] == "1.0":
            app = in_close_framing(app, cycle)
        if cycle.waiting_for_100_continue:
            app = closing_unread(app, cycle)
        super()._start_asgi_task(cycle, app)

    def _send_away(self, cycle: RequestResponseCycle, refusal: TaktError) -> None:
        self.gateway.telemetry.http.ended(cast(Scope, cycle.scope), status_of(refusal.code), 0.0)
        self._finish(cycle, *error_answer(refusal, request_id_in(cycle.scope["headers"])))

    def _finish(self, cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> None:
        """Answer a request that has no task. What may still come of its body is passed over."""
        cycle.response_complete = True
        if self.transport.is_closing():
            return
        self._write(
            status, headers, body, keep_alive=cycle.keep_alive and not self.gateway.lifecycle.draining
        )
        self.on_response_complete()

    def _refuse(self, error: TaktError | HTTPException) -> None:
        """Let go of a client that has asked for nothing yet, or for nothing that can be understood."""
        if not self.transport.is_closing():
            status, headers, body = error_answer(error, new_request_id())
            self.gateway.telemetry.http.add(UNREAD, OTHER, status, 0.0)
            self._write(status, headers, body, keep_alive=False)

    def _write(self, status: int, headers: Headers, body: bytes, *, keep_alive: bool) -> None:
        """A whole answer, past uvicorn's own."""
        lines = [b"%s: %s\r\n" % header for header in (*self.server_state.default_headers, *headers)]
        if not keep_alive and CLOSE not in headers:
            lines.append(b"%s: %s\r\n" % CLOSE)
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
        if not keep_alive:
            self.transport.close()


def protocol_of(gateway: Gateway) -> type[LimitedProtocol]:
    """The protocol of a gateway, with the limits of its settings and of the files that may be open.

    Raises OperatorError if these are too few.
    """
    most = most_connections(most_open_files(), gateway.settings.max_connections)
    limit_s = gateway.settings.head_limit_s
    known = {
        "gateway": gateway,
        "sweeper": ConnectionTimeouts(min(SWEEP_EVERY_S, limit_s)),
        "head_limit_s": limit_s,
        "most_connections": most,
    }
    return type("GatewayProtocol", (LimitedProtocol,), known)
