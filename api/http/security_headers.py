"""What browsers are told of our answers: take them for what they say they are, show them in no frame, and let
pages load nothing from elsewhere.

Answers that know better, as the console's do, keep their own. Predictions do without all but `nosniff`;
errors say the same where they are made (`api/http/errors.py`), for not all of them pass here.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.errors import FRAMELESS

# Swagger UI and ReDoc set themselves up in the page, style their parts, and search in a worker
_PAGE = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'"
)
_OF_ALL = {b"x-content-type-options": b"nosniff", **dict(FRAMELESS)}


class SecurityHeaders:
    """Adds to the answers of `app` what they lack."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = dict(message.get("headers", ()))
                is_page = said.get(b"content-type", b"").startswith(b"text/html")
                wanted = _OF_ALL | ({b"content-security-policy": _PAGE} if is_page else {})
                missing = [pair for pair in wanted.items() if pair[0] not in said]
                message["headers"] = [*message.get("headers", ()), *missing]
            await send(message)

        await self._app(scope, receive, send_safely if scope["type"] == "http" else send)
