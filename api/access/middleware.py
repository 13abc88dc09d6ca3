"""ASGI middleware that authenticates and authorizes requests before any route, by the table of `permissions`.

Predictions do not pass through it: for speed, `api/routes/predict.py` authenticates them itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access.authenticator import Authenticator, entered, token_of
from api.access.limits import Limiter
from api.access.permissions import Permission, allow_of, rule_of, rules_of
from api.access.principal import ANONYMOUS, Principal, let_in
from api.access.signed_links import key_id_of_link
from shared.access import key_id_of
from shared.errors import Unauthorized

log = structlog.get_logger()

BROWSER_CHALLENGE = 'Basic realm="Takt: any name, and an API key as the password", Bearer realm="takt"'


class AuthMiddleware:
    """Passes permitted requests to `app`, with their principal in the scope."""

    def __init__(self, app: ASGIApp, gate: Authenticator, limiter: Limiter) -> None:
        self._app = app
        self._gate = gate
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            asker = await self._principal(scope)
            let_in(scope, asker)
            if asker.allowance is not None:
                await self._limiter.admit(asker.allowance, scope)
        await self._app(scope, receive, send)

    async def _principal(self, scope: Scope) -> Principal:
        rules = rules_of(scope["path"])
        rule = rule_of(scope["method"], rules)
        if _is_open(scope["method"], rule, rules):
            return ANONYMOUS
        asker = await self._enter(scope, rule)
        if not rules:
            raise HTTPException(404)
        if rule is None and scope["method"] != "OPTIONS":
            raise HTTPException(405, headers={"Allow": allow_of(rules)})
        if rule is not None:
            rule.require(asker)
        return asker

    async def _enter(self, scope: Scope, rule: Permission | None) -> Principal:
        in_browser = rule is not None and rule.in_browser
        token = token_of(dict(scope["headers"]), basic=in_browser)
        if rule is not None and rule.by_link and token is None:
            by_link = partial(self._gate.enter_by_link, scope["path"], scope["query_string"])
            return await entered(self._gate, by_link, key_id_of_link(scope["query_string"]))
        by_key = partial(self._gate.enter, scope["headers"], basic=in_browser)
        try:
            return await entered(self._gate, by_key, key_id_of(token or b""))
        except Unauthorized as error:
            if in_browser:
                challenge = {"WWW-Authenticate": BROWSER_CHALLENGE}
                raise HTTPException(401, error.detail, challenge) from None
            raise


def _is_open(method: str, rule: Permission | None, rules: Mapping[str, Permission]) -> bool:
    """Whether the request needs no key. OPTIONS needs none if no method of the endpoint does."""
    if rule is None:
        return method == "OPTIONS" and bool(rules) and all(rule.open for rule in rules.values())
    return rule.open
