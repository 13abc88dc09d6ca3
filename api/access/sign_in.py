"""Sign-in of people: by OpenID Connect, or by a trusted proxy that has authenticated the person.

Both give a name and groups; `TAKT_SIGN_IN_ROLES` maps groups to roles. As an owner of jobs, a person has
the prefix `user.`, so that it does not coincide with the name of a key by accident.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis

from api.access.open_id import OpenIdProvider
from shared import keys
from shared.api_keys import Role, is_name
from shared.errors import ForbiddenError, UnauthorizedError
from shared.safe_texts import named
from shared.setting_values import listed, networks
from shared.settings import Settings

CALLBACK = "/sign-in/callback"
EVERYONE = "*"
STATE_LASTS_S = 600
"""Time for a person to sign in at the provider."""


@dataclass(frozen=True)
class Person:
    """A person who was authenticated, with the roles of its groups."""

    name: str
    roles: frozenset[Role]


class SignIn:
    """Both ways of signing in, as the settings allow them."""

    def __init__(self, client: Redis, settings: Settings) -> None:
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers
        self._roles = settings.roles_of_groups()
        self._proxies = networks(settings.trusted_proxies)
        self._user_header = settings.proxy_user_header.lower().encode()
        self._groups_header = settings.proxy_groups_header.lower().encode()
        self._name_claim, self._groups_claim = settings.oidc_name_claim, settings.oidc_groups_claim
        self._provider = (
            OpenIdProvider(settings, settings.public_url + CALLBACK) if settings.oidc_issuer else None
        )

    @property
    def possible(self) -> bool:
        """Whether people can sign in."""
        return self._provider is not None or bool(self._user_header)

    @property
    def provider_name(self) -> str | None:
        """The host name of the provider, to be shown; None if a proxy authenticates people."""
        return urlsplit(self._provider.issuer).hostname if self._provider is not None else None

    def by_proxy(self, peer: str, headers: Mapping[bytes, bytes]) -> Person | None:
        """The person that a proxy names; None if the request does not come from a trusted proxy.

        `peer`: the address of the connection's other end. Raises ForbiddenError.
        """
        name = headers.get(self._user_header, b"").decode("utf-8", "replace").strip()
        if not self._user_header or not name or not self._trusts(peer):
            return None
        return self._person(name, listed(headers.get(self._groups_header, b"").decode("utf-8", "replace")))

    async def redirect(self) -> tuple[str, str]:
        """Begin a sign-in at the provider. → the URL for the browser, and the state that its cookie keeps

        Raises OperatorError if the provider does not answer, redis.exceptions.RedisError.
        """
        assert self._provider is not None
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        url = await self._provider.authorization_url(state, nonce, verifier)
        started = json.dumps({"nonce": nonce, "verifier": verifier})
        await self._client.set(keys.sign_in(state), started, ex=STATE_LASTS_S)
        return url, state

    async def finish(self, url: str, state: str | None, expected: bytes | None) -> Person:
        """The person that the provider authenticated.

        `url`: the requested URL with its query; `state`: of the query; `expected`: of the browser's cookie. A
        state serves once. Raises UnauthorizedError, ForbiddenError, OperatorError.
        """
        again = "Start again at /sign-in."
        if self._provider is None or not state or expected is None:
            raise UnauthorizedError(f"This sign-in was not started in this browser. {again}")
        if not secrets.compare_digest(state.encode(), expected):
            raise UnauthorizedError(f"This sign-in was started in another browser. {again}")
        started: bytes | None = await self._client.getdel(keys.sign_in(state))
        if started is None:
            raise UnauthorizedError(f"This sign-in is too old, or was used before. {again}")
        claims = await self._provider.claims(url, state=state, **json.loads(started))
        name = claims.get(self._name_claim)
        if not isinstance(name, str):
            raise ForbiddenError(
                f"The ID token has no claim {self._name_claim!r}. Set TAKT_OIDC_NAME_CLAIM to one of: "
                f"{', '.join(sorted(claims))}."
            )
        groups = claims.get(self._groups_claim, ())
        return self._person(name, [groups] if isinstance(groups, str) else groups)

    def _trusts(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False  # a Unix socket
        return any(address in network for network in self._proxies)

    def _person(self, name: str, groups: Iterable[object]) -> Person:
        owner = f"user.{name.lower()}"
        if not is_name(owner):
            raise ForbiddenError(
                f"The name {named(name)} cannot own jobs: at most 58 of a-z, 0-9 and . _ @ + - are allowed."
            )
        memberships = {EVERYONE, *(group for group in groups if isinstance(group, str))}
        roles = frozenset(role for group in memberships for role in self._roles.get(group, ()))
        if not roles:
            raise ForbiddenError(
                f"{name} has no role here: no group of TAKT_SIGN_IN_ROLES contains this person."
            )
        return Person(owner, roles)
