"""Browser security: headers against MIME sniffing and frames, content security policy, and CORS.

Headers that a response already has are kept, as for the console. Predictions carry only `nosniff`. Error
responses get their headers in `api/http/error_answers.py`, because not all of them pass through this
middleware.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.error_answers import BROWSER_HEADERS

# Swagger UI and ReDoc use inline scripts and styles, and search in a web worker
_PAGE = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'"
)
_OF_ALL = {b"x-content-type-options": b"nosniff", **dict(BROWSER_HEADERS)}

EXPOSED_HEADERS = (
    *("ETag", "Location", "Preference-Applied", "RateLimit", "RateLimit-Policy", "Retry-After"),
    *("Server-Timing", "X-Model-Version", "X-Request-ID"),
)
"""Response headers that a page of another origin may read."""


class SecurityHeaders:
    """Adds the missing security headers to the responses of `app`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = dict(message.get("headers", ()))
                is_page = own.get(b"content-type", b"").startswith(b"text/html")
                wanted = _OF_ALL | ({b"content-security-policy": _PAGE} if is_page else {})
                missing = [pair for pair in wanted.items() if pair[0] not in own]
                message["headers"] = [*message.get("headers", ()), *missing]
            await send(message)

        await self._app(scope, receive, send_safely if scope["type"] == "http" else send)


def with_cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """`app` with CORS for these origins; `app` itself if there are none."""
    if not origins:
        return app
    return CORSMiddleware(
        app, allow_origins=origins, allow_methods=["*"], allow_headers=["*"], expose_headers=EXPOSED_HEADERS
    )
