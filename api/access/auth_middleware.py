"""ASGI middleware that authenticates and authorizes requests before any route, by the table of `permissions`.

Predictions do not pass through it: for speed, `api/routes/predict.py` authenticates them itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access.authenticator import Authenticator, authenticated
from api.access.limits import Limiter
from api.access.permissions import MLFLOW_SIGNATURE, Permission, allow_of, permission_of, permissions_of
from api.access.principal import ANONYMOUS, REGISTRY, Principal, set_principal
from api.access.signed_links import key_id_of_link
from shared.api_keys import key_id_of
from shared.errors import UnauthorizedError

log = structlog.get_logger()

BROWSER_CHALLENGE = 'Basic realm="Takt: any name, and an API key as the password", Bearer realm="takt"'


class AuthMiddleware:
    """Passes permitted requests to `app`, with their principal in the scope."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator, limiter: Limiter) -> None:
        self._app = app
        self._authenticator = authenticator
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            caller = await self._principal(scope)
            set_principal(scope, caller)
            if caller.quota is not None:
                await self._limiter.admit(caller.quota, scope)
        await self._app(scope, receive, send)

    async def _principal(self, scope: Scope) -> Principal:
        permissions = permissions_of(scope["path"])
        permission = permission_of(scope["method"], permissions)
        if _is_open(scope["method"], permission, permissions):
            return ANONYMOUS
        if permission is not None and permission.by_signature and _is_signed(scope):
            return REGISTRY
        caller = await self._authenticate(scope, permission)
        if not permissions:
            raise HTTPException(404)
        if permission is None and scope["method"] != "OPTIONS":
            raise HTTPException(405, headers={"Allow": allow_of(permissions)})
        if permission is not None:
            permission.require(caller)
        return caller

    async def _authenticate(self, scope: Scope, permission: Permission | None) -> Principal:
        in_browser = permission is not None and permission.in_browser
        token = self._authenticator.token(scope["headers"], basic=in_browser)
        if permission is not None and permission.by_link and token is None:
            by_link = partial(self._authenticator.authenticate_link, scope["path"], scope["query_string"])
            return await authenticated(self._authenticator, by_link, key_id_of_link(scope["query_string"]))
        by_key = partial(self._authenticator.authenticate, scope["headers"], basic=in_browser)
        try:
            return await authenticated(self._authenticator, by_key, key_id_of(token or b""))
        except UnauthorizedError as error:
            if in_browser:
                challenge = {"WWW-Authenticate": BROWSER_CHALLENGE}
                raise HTTPException(401, error.detail, challenge) from None
            raise


def _is_signed(scope: Scope) -> bool:
    """Whether the request has a signature, valid or not."""
    return any(name == MLFLOW_SIGNATURE for name, _ in scope["headers"])


def _is_open(method: str, permission: Permission | None, permissions: Mapping[str, Permission]) -> bool:
    """Whether the request needs no key. OPTIONS needs none if no method of the endpoint does."""
    if permission is None:
        return method == "OPTIONS" and bool(permissions) and all(each.open for each in permissions.values())
    return permission.open
