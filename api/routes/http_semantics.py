"""HTTP semantics that apply to all routes: HEAD, OPTIONS, `Allow`, trailing slashes. Pure ASGI.

- Every endpoint with GET supports HEAD: the same code runs, without the body (RFC 9110, 9.3.2).
- OPTIONS returns `Allow`, also for `*` (9.3.7). Any valid key is sufficient.
- An unsupported method gets 405 with the supported methods in `Allow` (15.5.6).
- A trailing slash is ignored. A redirect would fail for clients that do not resend a POST body.
- An expectation other than `100-continue` gets 417 (10.1.1).
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access.permissions import ENDPOINTS, allow_of, endpoint_of, permission_of
from api.http.headers import field_of
from api.telemetry.gateway_counters import ROUTE

SERVER = "/*"
"""The path of `OPTIONS *`, which concerns the server as a whole."""
_ANY = allow_of({method: rule for rules in ENDPOINTS.values() for method, rule in rules.items()})


class _HeadAnsweredError(Exception):
    """The response to a HEAD request has been sent; the body need not be computed."""


class HttpSemantics:
    """Middleware for expectations, trailing slashes, `OPTIONS *` and HEAD, which `app` sees as GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        _require_no_expectation(scope)
        _drop_slash(scope)
        match scope["method"]:
            case "OPTIONS" if scope["path"] == SERVER:
                await _send_methods(send, _ANY)
            case "HEAD":
                await self._head(scope, receive, send)
            case _:
                await self._app(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope["method"] = "HEAD"  # the server reads the method here, and sends no body
                await send(message)
            elif message["type"] == "http.response.body":
                await send({"type": "http.response.body", "body": b""})
                raise _HeadAnsweredError

        scope["method"] = "GET"
        try:
            await self._app(scope, receive, send_head)
        except _HeadAnsweredError:
            pass
        finally:
            scope["method"] = "HEAD"


class MethodTable:
    """Middleware that answers OPTIONS and rejects unsupported methods, after authentication."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = endpoint_of(scope["path"]) if scope["type"] == "http" else None
        if endpoint is None or permission_of(scope["method"], ENDPOINTS[endpoint]) is not None:
            await self._app(scope, receive, send)
            return
        scope[ROUTE] = endpoint
        allowed = allow_of(ENDPOINTS[endpoint])
        if scope["method"] != "OPTIONS":
            raise HTTPException(405, headers={"Allow": allowed})
        await _send_methods(send, allowed)


async def _send_methods(send: Send, allowed: str) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": [(b"allow", allowed.encode())]})
    await send({"type": "http.response.body", "body": b""})


def _require_no_expectation(scope: Scope) -> None:
    """Raises HTTPException 417 for an unsupported expectation."""
    expected = field_of(scope["headers"], b"expect")
    if expected is not None and expected.strip().lower() not in (b"", b"100-continue"):
        raise HTTPException(417, "Unsupported expectation: only 100-continue is supported.")


def _drop_slash(scope: Scope) -> None:
    """Remove a trailing slash that is not part of an endpoint's path."""
    path: str = scope["path"]
    if path.endswith("/") and endpoint_of(path) is None and endpoint_of(path[:-1]) is not None:
        scope["path"] = path[:-1]
        scope["raw_path"] = scope.get("raw_path", b"").removesuffix(b"/")
