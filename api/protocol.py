"""What uvicorn leaves open: how long a client may take to say what it wants, how many may be connected, and
what a refusal costs.

uvicorn limits neither; its keep-alive timer ends with the first byte of a request. A client that sends its
head a byte at a time, or nothing at all, is answered 408 here and let go; bodies have limits where they are
read. One who finds all connections taken is answered 503. Under overload most requests are refused: those
are answered here too, and cost no task (`api/door.py`).
"""

from __future__ import annotations

import asyncio
import resource
import sys
from asyncio import TimerHandle
from typing import cast

import httptools
from starlette.exceptions import HTTPException
from starlette.types import Scope
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.envelope import CLOSE, REQUEST_ID, new_request_id, request_id_in, whole_json
from api.errors import answer_of, status_of
from api.gateway import Gateway
from api.tallies import OTHER, UNREAD
from shared.errors import Overloaded, RequestTimeout, TaktError

RESERVED_FILES = 256
"""Of the process's open files, for everything that is not a client."""
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


class PatientProtocol(HttpToolsProtocol):
    """One connection. What it knows of its gateway is set by `protocol_of`."""

    gateway: Gateway
    head_limit_s: float
    most_connections: int
    _head_timer: TimerHandle | None = None
    _offered_at: int | None = None
    """Where in the data that came last a head ends that offers another protocol."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._answers = WholeAnswers(transport)
        if len(self.connections) > self.most_connections:
            self._refuse(Overloaded("Too many connections.", retry_after_s=_RETRY_AFTER_S))
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        if self._head_timer is None and self.timeout_keep_alive_task is not None:
            self._await_head()  # the next request of a connection that was kept alive
        super().data_received(data)
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
        """Called by uvicorn for what is no HTTP, or more than one thing."""
        self._refuse(HTTPException(400, msg))

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        refusal = self.gateway.door.refusal(cycle.scope) if self.gateway.door.refusing else None
        if refusal is None:
            cycle.transport = cast(asyncio.Transport, self._answers)  # it has what a cycle uses of one
            super()._start_asgi_task(cycle, app)
            return
        keep_alive = cycle.keep_alive and not self.gateway.draining
        cycle.response_complete = True  # what comes of its body is passed over
        self.gateway.http.ended(cast(Scope, cycle.scope), status_of(refusal.code), 0.0)
        self._answer(refusal, request_id_in(cycle.scope["headers"]), keep_alive=keep_alive)
        self.on_response_complete()

    def on_response_complete(self) -> None:
        self._answers.flush()
        super().on_response_complete()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_limit_s, self._head_is_late)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        self._refuse(RequestTimeout(f"The request's head did not come within {self.head_limit_s:g} s."))

    def _refuse(self, error: TaktError | HTTPException) -> None:
        if not self.transport.is_closing():
            status = self._answer(error, new_request_id(), keep_alive=False)
            self.gateway.http.add(UNREAD, OTHER, status, 0.0)

    def _answer(self, error: TaktError | HTTPException, request_id: bytes, *, keep_alive: bool) -> int:
        """A whole answer, past uvicorn's own. → its status"""
        status, headers, body = answer_of(error, request_id.decode())
        lines = [*whole_json(body), *headers, (REQUEST_ID, request_id)]
        if not keep_alive and CLOSE not in lines:
            lines.append(CLOSE)
        head = b"".join([b"%s: %s\r\n" % line for line in lines])
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        if not keep_alive:
            self.transport.close()
        return status


def protocol_of(gateway: Gateway) -> type[PatientProtocol]:
    """The protocol of a gateway, with the limits of its settings; no number of connections: as many as the
    process may open files."""
    most = gateway.settings.max_connections
    if most is None:
        most = _open_files() - RESERVED_FILES
    limits = {"head_limit_s": gateway.settings.head_limit_s, "most_connections": most}
    return type("GatewayProtocol", (PatientProtocol,), {"gateway": gateway} | limits)


def _open_files() -> int:
    """How many files this process may open; it is let open as many as it may be let."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
