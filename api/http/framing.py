"""Response framing for HTTP/1.0 clients and for `Expect: 100-continue` (RFC 9112, 6 and 9).

HTTP/1.0 has no chunked coding, so a response of unknown length ends when the connection closes. If such a
response fails midway, the connection is reset; otherwise the client could not detect that it is incomplete.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

from starlette.types import Message, Receive, Scope, Send

from api.http.request_middleware import CLOSE

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, HTTPScope
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

KEEP = (b"connection", b"keep-alive")


def in_close_framing(app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
    """`app` for an HTTP/1.0 client: the end of the connection ends a response of unknown length."""
    cycle.waiting_for_100_continue = False  # there is none in HTTP/1.0 (RFC 9110, 10.1.1)

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_unframed(message: Message) -> None:
            if message["type"] == "http.response.start":
                _begin(message, scope, cycle)
            elif cycle.expected_content_length == sys.maxsize and not message.get("more_body", False):
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        try:
            await app(scope, receive, send_unframed)  # type: ignore[arg-type]  # the same types by other names
        except BaseException:
            if cycle.response_started and not cycle.response_complete:
                cycle.transport.abort()
            raise

    return cast("ASGI3Application", answering)


def _begin(message: Message, scope: Scope, cycle: RequestResponseCycle) -> None:
    headers = list(message.get("headers", ()))
    if any(name == b"content-length" for name, _ in headers) or message["status"] in (204, 304):
        if _asks_to_stay(scope) and CLOSE not in headers:
            cycle.keep_alive = True
            message["headers"] = [*headers, KEEP]
    elif scope["method"] != "HEAD":
        cycle.chunked_encoding = False
        cycle.expected_content_length = sys.maxsize


def stays_in_http_1_0(scope: HTTPScope) -> bool:
    """Whether an HTTP/1.0 client asks to keep the connection open."""
    return scope["http_version"] == "1.0" and _asks_to_stay(cast(Scope, scope))


def _asks_to_stay(scope: Scope) -> bool:
    options = b",".join(value for name, value in scope["headers"] if name == b"connection")
    return b"keep-alive" in [option.strip().lower() for option in options.split(b",")]


def closing_unread(app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
    """`app` for a client that waits for `100 Continue` before it sends its body (RFC 9110, 10.1.1).

    If the final response comes first, the client may or may not send the body, so the connection is closed.
    """

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start" and cycle.waiting_for_100_continue:
                message["headers"] = [*message.get("headers", ()), CLOSE]
            await send(message)

        await app(scope, receive, send_closing)  # type: ignore[arg-type]  # the same types by other names

    return cast("ASGI3Application", answering)
