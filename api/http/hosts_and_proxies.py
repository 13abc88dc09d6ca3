"""Host names and sites that requests may come from, and proxies whose X-Forwarded headers are trusted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from shared.errors import ForbiddenError
from shared.safe_texts import named

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_PEER = "takt.peer"
_MOST_KNOWN = 1000


class HostNames:
    """The accepted host names of a gateway without keys. They prevent DNS rebinding by web pages.

    Addresses, `localhost` and names without a dot are always allowed, because they cannot be registered.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._known: set[bytes] = set()
        """Values of Host that are allowed."""

    def check(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raises ForbiddenError if the host of a request with these headers is not allowed."""
        host = dict(headers).get(b"host", b"")
        if host in self._known:
            return
        name = _name_of(host)
        if not self._allows(name):
            raise ForbiddenError(
                f"This gateway does not answer requests for the host {named(name)}; TAKT_ALLOWED_HOSTS lists "
                "the allowed names."
            )
        if len(self._known) < _MOST_KNOWN:
            self._known.add(host)

    def _allows(self, name: str) -> bool:
        return (
            "." not in name.rstrip(".")
            or name in self._names
            or name.endswith(".localhost")
            or _is_address(name)
        )


class OpenGatewayGuard:
    """Passes requests to `app`, unless a page of another site may have caused them.

    An open gateway has no key that such a page would lack.
    """

    def __init__(self, app: ASGIApp, names: HostNames, origins: Sequence[str]) -> None:
        """`origins`: those of pages that may call the gateway (CORS)."""
        self._app = app
        self._names = names
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._names.check(scope["headers"])
            if scope["method"] not in _SAFE_METHODS:
                self._check_site(dict(scope["headers"]))
        await self._app(scope, receive, send)

    def _check_site(self, headers: dict[bytes, bytes]) -> None:
        """Raises ForbiddenError for a form or script of another site; only browsers send `Sec-Fetch-Site`."""
        if headers.get(b"sec-fetch-site", b"none") in (b"none", b"same-origin"):
            return
        origin = headers.get(b"origin", b"")
        if origin not in self._origins and b"*" not in self._origins:
            raise ForbiddenError(
                f"A page of another site ({named(origin.decode('latin-1'))}) sent this request; "
                "TAKT_CORS_ORIGINS lists the allowed origins."
            )


class TrustedProxies:
    """Replaces a request's client and scheme by those that a trusted proxy forwards, and keeps the peer."""

    def __init__(self, app: ASGIApp, proxies: str) -> None:
        self._app: ASGIApp = ProxyHeadersMiddleware(app, trusted_hosts=proxies)  # type: ignore[assignment,arg-type]  # uvicorn's own ASGI types

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("client"):
            scope[_PEER] = scope["client"][0]
        await self._app(scope, receive, send)


def peer_of(scope: Scope) -> str:
    """The address at the other end of the connection, as `TrustedProxies` kept it; empty without it."""
    return str(scope.get(_PEER, ""))


def _name_of(host: bytes) -> str:
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
