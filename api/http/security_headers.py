"""Browser security: headers against MIME sniffing and frames, and the content security policy.

CORS is in `api/http/cors.py`.

Headers that a response already has are kept, as for the console. Predictions carry only `nosniff`. Error
responses get their headers in `api/http/error_answers.py`, because not all of them pass through this
middleware.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Swagger UI and ReDoc use inline scripts and styles, and search in a web worker
_PAGE = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'"
)
BROWSER_HEADERS = ((b"x-frame-options", b"DENY"), (b"referrer-policy", b"no-referrer"))
"""Headers of every response except predictions: no embedding in frames, no `Referer` to other sites."""
_OF_ALL = {b"x-content-type-options": b"nosniff", **dict(BROWSER_HEADERS)}


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
