"""Methods and paths as HTTP has them, before any route: HEAD, OPTIONS, `Allow`, trailing slashes. Pure ASGI.

- HEAD is answered wherever GET is, by the same code, without its body (RFC 9110, 9.3.2).
- OPTIONS is answered with `Allow`, also for `*` (9.3.7). Any good key will do.
- A method that an endpoint does not have is 405, with all that it has in `Allow` (15.5.6).
- A path that ends in a slash more than its endpoint is that endpoint's: a redirect would lose the body of
  a client that does not follow one with POST.
- An expectation other than `100-continue` is 417 (10.1.1).
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access.permissions import ENDPOINTS, allow_of, endpoint_of, rule_of
from api.http.fields import field_of
from api.telemetry.counters import ROUTE

SERVER = "/*"
"""The path of `OPTIONS *`, which asks about the server as a whole."""
_ANY = allow_of({method: rule for rules in ENDPOINTS.values() for method, rule in rules.items()})


class _HeadAnsweredError(Exception):
    """The head of an answer to HEAD is sent; its body is not made."""


class Surface:
    """Passes to `app` what has a method that its endpoint has, HEAD as GET."""

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
                await _tell_methods(send, _ANY)
            case "HEAD":
                await self._head(scope, receive, send)
            case _:
                await self._app(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope["method"] = "HEAD"  # the server looks at it, and sends no body
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
    """Answers OPTIONS, and refuses methods that an endpoint does not have. Stands behind the gatekeeper."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = endpoint_of(scope["path"]) if scope["type"] == "http" else None
        if endpoint is None or rule_of(scope["method"], ENDPOINTS[endpoint]) is not None:
            await self._app(scope, receive, send)
            return
        scope[ROUTE] = endpoint
        allowed = allow_of(ENDPOINTS[endpoint])
        if scope["method"] != "OPTIONS":
            raise HTTPException(405, headers={"Allow": allowed})
        await _tell_methods(send, allowed)


async def _tell_methods(send: Send, allowed: str) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": [(b"allow", allowed.encode())]})
    await send({"type": "http.response.body", "body": b""})


def _require_no_expectation(scope: Scope) -> None:
    """Raises HTTPException."""
    said = field_of(scope["headers"], b"expect")
    if said is not None and said.strip().lower() not in (b"", b"100-continue"):
        raise HTTPException(417, "The only expectation that is met is 100-continue.")


def _drop_slash(scope: Scope) -> None:
    """Name the endpoint of a path with one slash too many."""
    path: str = scope["path"]
    if path.endswith("/") and endpoint_of(path) is None and endpoint_of(path[:-1]) is not None:
        scope["path"] = path[:-1]
        scope["raw_path"] = scope.get("raw_path", b"").removesuffix(b"/")
