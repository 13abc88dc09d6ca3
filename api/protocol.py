"""What uvicorn leaves open: how long a client may take to say what it wants, and how many may be connected.

uvicorn limits neither; its keep-alive timer ends with the first byte of a request. A client that sends its
head a byte at a time, or nothing at all, is answered 408 here and let go; bodies have limits where they are
read. One who finds all connections taken is answered 503.
"""

from __future__ import annotations

import asyncio
import resource
from asyncio import TimerHandle
from uuid import uuid4

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.errors import answer_of
from shared.errors import Overloaded, RequestTimeout, TaktError

log = structlog.get_logger()

RESERVED_FILES = 256
"""Of the process's open files, for everything that is not a client."""
_RETRY_AFTER_S = 5.0


class PatientProtocol(HttpToolsProtocol):
    """One connection. `head_limit_s` and `most_connections` are set by `patient_protocol`."""

    head_limit_s: float
    most_connections: int
    _head_timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._refuse(Overloaded("Too many connections.", retry_after_s=_RETRY_AFTER_S))
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        if self._head_timer is None and self.timeout_keep_alive_task is not None:
            self._await_head()  # the next request of a connection that was kept alive
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_limit_s, self._head_is_late)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        self._refuse(RequestTimeout(f"The request's head did not come within {self.head_limit_s:g} s."))

    def _refuse(self, error: TaktError) -> None:
        if self.transport.is_closing():
            return
        request_id = uuid4().hex
        status, headers, body = answer_of(error, request_id)
        lines = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", request_id.encode()),
            *headers,
        ]
        head = b"".join(b"%s: %s\r\n" % line for line in lines)
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        self.transport.close()


def patient_protocol(head_limit_s: float, most_connections: int | None) -> type[PatientProtocol]:
    """The protocol with these limits; no number of connections: as many as the process may open files."""
    most = most_connections if most_connections is not None else _open_files() - RESERVED_FILES
    limits = {"head_limit_s": head_limit_s, "most_connections": most}
    return type("LimitedProtocol", (PatientProtocol,), limits)


def _open_files() -> int:
    """How many files this process may open; it is let open as many as it may be let."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
