"""Sign-in of people to the console, their sessions, and what a key or session permits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

import structlog
from fastapi import APIRouter, Cookie, Query, Request, Response
from pydantic import BaseModel, Field
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from api.access.authenticator import KeyAuthenticator
from api.access.principal import ANONYMOUS
from api.access.sessions import csrf_token
from api.access.sign_in import CALLBACK, STATE_LASTS_S, Person
from api.gateway import Gateway, GatewayState
from api.http.hosts_and_proxies import peer_of
from shared.api_keys import KeyRecord, Role
from shared.errors import ServiceError

log = structlog.get_logger()
router = APIRouter(tags=["access"])

STATE_COOKIE = "takt-sign-in"
_NEVER_STORED = {"Cache-Control": "no-store"}


class SignInOffer(BaseModel):
    """How people sign in."""

    path: str = Field(description="To be opened by the browser itself")
    provider: str | None = Field(description="Host name of the provider; null: a proxy authenticates people")


class SessionView(BaseModel):
    """The caller of this request, and its permissions."""

    kind: str = Field(description="`open`: no key is needed; `key`, `session`; `none`: no valid key")
    name: str | None = Field(None, description="Owner of the key, or the person")
    roles: list[Role] = []
    models: list[str] | None = Field(None, description="The models that the key may use; null: all")
    expires_at: datetime | None = None
    csrf_token: str | None = Field(None, description="Value of X-CSRF-Token in requests with the cookie")
    sign_in: SignInOffer | None = Field(None, description="null: only API keys")


@router.get("/session")
async def session(request: Request, response: Response, gateway: GatewayState) -> SessionView:
    """The caller's name, roles and, for a session, its CSRF token. It needs no key."""
    response.headers.update(_NEVER_STORED)
    authenticator = gateway.access.authenticator
    offer = _offer(gateway)
    if not isinstance(authenticator, KeyAuthenticator):
        return SessionView(kind="open", roles=sorted(ANONYMOUS.roles))
    record = authenticator.session(request.scope["headers"])
    if record is None:
        return SessionView(kind="none", sign_in=offer)
    token = authenticator.token(request.scope["headers"], basic=True)
    return _view(record, csrf_token(token) if record.session and token else None, offer)


@router.get("/sign-in", status_code=302, response_class=Response, include_in_schema=False)
async def sign_in(request: Request, gateway: GatewayState) -> Response:
    """Sign in: at the provider, or at once as the person that the proxy has authenticated."""
    offered = gateway.access.sign_in
    if not offered.possible or not gateway.access.authenticator.asks:
        raise HTTPException(404)
    try:
        person = offered.by_proxy(peer_of(request.scope), dict(request.scope["headers"]))
        if person is not None:
            return await _signed_in(gateway, person)
        if offered.provider_name is None:
            return _back("The proxy did not authenticate this request. Open the console through the proxy.")
        url, state = await offered.redirect()
    except ServiceError as error:
        return _back(str(error.detail))
    except RedisError:
        return _back("The queue does not answer. Try again.")
    answer = _redirect(url)
    answer.set_cookie(
        STATE_COOKIE,
        state,
        max_age=STATE_LASTS_S,
        path=CALLBACK,
        secure=_secure(gateway),
        httponly=True,
        samesite="lax",  # the provider sends the browser back
    )
    return answer


@router.get(CALLBACK, status_code=302, response_class=Response, include_in_schema=False)
async def callback(
    request: Request,
    gateway: GatewayState,
    state: Annotated[str | None, Query(max_length=200)] = None,
    expected: Annotated[str | None, Cookie(alias=STATE_COOKIE)] = None,
) -> Response:
    """The provider sends the browser here after the person has signed in."""
    url = f"{gateway.settings.public_url}{CALLBACK}?{request.url.query}"
    try:
        person = await gateway.access.sign_in.finish(url, state, expected.encode() if expected else None)
        return await _signed_in(gateway, person)
    except ServiceError as error:
        return _back(str(error.detail))
    except RedisError:
        return _back("The queue does not answer. Try again.")


@router.post("/sign-out", status_code=204)
async def sign_out(request: Request, gateway: GatewayState) -> Response:
    """End the session of this request. Other gateways follow within two seconds."""
    access = gateway.access
    answer = Response(status_code=204, headers=_NEVER_STORED)
    if isinstance(access.authenticator, KeyAuthenticator):
        record = access.authenticator.session(request.scope["headers"])
        if record is not None and record.session:
            await access.sessions.end(record)
            await access.authenticator.look()
            log.info("signed_out", name=record.name)
        answer.delete_cookie(access.cookie, path="/", secure=_secure(gateway), httponly=True)
    return answer


async def _signed_in(gateway: Gateway, person: Person) -> Response:
    """The browser goes to the console, with a new session."""
    token = await gateway.access.sessions.begin(person.name, person.roles)
    await gateway.access.authenticator.look()
    log.info("signed_in", name=person.name, roles=sorted(person.roles))
    answer = _redirect("/console")
    answer.delete_cookie(STATE_COOKIE, path=CALLBACK)
    answer.set_cookie(
        gateway.access.cookie,
        token,
        max_age=round(gateway.access.sessions.lasts_s),
        path="/",
        secure=_secure(gateway),
        httponly=True,
        samesite="strict",
    )
    return answer


def _redirect(url: str) -> Response:
    return Response(status_code=302, headers={"Location": url, **_NEVER_STORED})


def _back(problem: str) -> Response:
    """The browser goes to the console, which shows the problem."""
    return _redirect(f"/console#/?sign_in_problem={quote(problem)}")


def _secure(gateway: Gateway) -> bool:
    return gateway.settings.public_url.startswith("https:")


def _offer(gateway: Gateway) -> SignInOffer | None:
    offered = gateway.access.sign_in
    return SignInOffer(path="/sign-in", provider=offered.provider_name) if offered.possible else None


def _view(record: KeyRecord, csrf: str | None, offer: SignInOffer | None) -> SessionView:
    expires_ms = record.expires_at_ms
    return SessionView(
        kind="session" if record.session else "key",
        name=record.name,
        roles=sorted(record.roles),
        models=list(record.models) or None,
        expires_at=None if expires_ms is None else datetime.fromtimestamp(expires_ms / 1000, UTC),
        csrf_token=csrf,
        sign_in=offer,
    )
