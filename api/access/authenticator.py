"""Authentication: a request's headers → its principal, by the valid keys in memory, without a call to Redis.

The keys are read from Redis every second if they have changed, so that every gateway rejects a revoked key
within two seconds. An unknown key causes an immediate read (`authenticated`), so that a new key is valid at
its first use; such reads are shared, at most five a second. While Redis is away, the last read keys remain
valid until they expire.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.access.limits import quota_of
from api.access.principal import ANONYMOUS, STRANGER, Principal
from api.access.sessions import COOKIE, session_token
from api.access.signed_links import LASTS_S, linked, read_link, ticket_of
from api.access.throttled_reads import ThrottledRead
from api.http.error_answers import unavailable
from shared import keys
from shared.api_keys import DEFAULT_SHARE, KeyRecord, Share, decode_key, decode_share, is_key_id, key_id_of
from shared.errors import QueueUnavailableError, UnauthorizedError

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
NEW_KEY_LOOK_EVERY_S = 0.2
"""Least time between reads caused by unknown keys: limits the load on Redis if keys are guessed."""
NEW_KEY_LIMIT_S = 1.0
LOOKS_A_READING = 30
"""Every so many looks, all keys are read even if they have not changed."""
LOOKS_A_NOTE = 60
"""Every so many looks, the time of use of the used keys is written."""

RawHeaders = Iterable[tuple[bytes, bytes]]
"""The headers of an ASGI scope."""


class Authenticator(Protocol):
    """Authenticates requests."""

    asks: bool
    """Whether requests need a key."""

    def authenticate(self, headers: RawHeaders, *, basic: bool = False) -> Principal:
        """The principal of a request. `basic`: a browser requests it directly, with a key as the password
        (HTTP Basic) or with a session's cookie alone.

        Raises Unauthorized, or QueueUnavailableError if no keys could be read yet.
        """
        ...

    def authenticate_optional(self, headers: RawHeaders) -> Principal:
        """The principal for an endpoint without authentication: STRANGER if `authenticate` would raise."""
        ...

    def authenticate_link(self, path: str, query: bytes) -> Principal:
        """The principal of a signed link (`api/access/signed_links.py`). Raises Unauthorized if it has no
        valid ticket."""
        ...

    def link(self, headers: RawHeaders, path: str, query: bytes) -> tuple[str, int | None]:
        """Sign a link. → the link, and its validity in s, or None without keys. Raises Unauthorized."""
        ...

    def token(self, headers: RawHeaders, *, basic: bool = False) -> bytes | None:
        """The key of a request, valid or not; None if it has none."""
        ...

    async def finds(self, key_id: str) -> bool:
        """Look for a key in Redis that was unknown here. → whether it exists and is valid"""
        ...

    async def look(self) -> None:
        """Read the keys if they have changed. Raises redis.exceptions.RedisError."""
        ...

    async def look_later(self) -> None:
        """Read changed keys, then wait a second. A background task repeats it."""
        ...


async def authenticated(
    authenticator: Authenticator, authenticate: Callable[[], Principal], key_id: str
) -> Principal:
    """Call `authenticate`, and again if it raises Unauthorized and Redis has the key by now."""
    try:
        return authenticate()
    except UnauthorizedError:
        if not await authenticator.finds(key_id):
            raise
    return authenticate()


class OpenAuthenticator:
    """Accepts every request as ANONYMOUS."""

    asks = False

    def authenticate(self, headers: RawHeaders, *, basic: bool = False) -> Principal:  # noqa: ARG002 - as `Authenticator` has it
        return ANONYMOUS

    def authenticate_optional(self, headers: RawHeaders) -> Principal:  # noqa: ARG002 - as `Authenticator` has it
        return ANONYMOUS

    def authenticate_link(self, path: str, query: bytes) -> Principal:  # noqa: ARG002 - as `Authenticator` has it
        return ANONYMOUS

    def link(self, headers: RawHeaders, path: str, query: bytes) -> tuple[str, int | None]:  # noqa: ARG002
        return (f"{path}?{query.decode()}" if query else path), None

    def token(self, headers: RawHeaders, *, basic: bool = False) -> bytes | None:  # noqa: ARG002 - as `Authenticator` has it
        return None

    async def finds(self, key_id: str) -> bool:  # noqa: ARG002 - as `Authenticator` has it
        return False

    async def look(self) -> None:
        pass  # no keys to read

    async def look_later(self) -> None:
        await asyncio.Event().wait()


class KeyAuthenticator:
    """Accepts requests with a valid key, or with the session of a person who signed in."""

    asks = True

    def __init__(
        self, client: Redis, clock: Callable[[], float] = time.monotonic, *, cookie: bytes = COOKIE
    ) -> None:
        """`cookie`: the name of the sessions' cookie."""
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers
        self._cookie = cookie
        self._clock = clock
        self._looks = 0
        self._known: list[KeyRecord] | None = None
        """All keys as last read; None: never read."""
        self._version: bytes | None = None
        self._ahead_ms = 0.0
        """Redis' time minus this process's monotonic clock."""
        self._shares: dict[str, Share] = {}
        """Shares by owner, if not the default."""
        self._good: dict[str, tuple[KeyRecord, Principal]] = {}
        self._used: set[str] = set()
        self._ids: frozenset[str] = frozenset()
        self._looking = asyncio.Lock()
        self._look_for_new = ThrottledRead(self.look, NEW_KEY_LOOK_EVERY_S)

    def authenticate(self, headers: RawHeaders, *, basic: bool = False) -> Principal:
        return self._found(headers, basic=basic)[1]

    def authenticate_optional(self, headers: RawHeaders) -> Principal:
        try:
            return self.authenticate(headers)
        except (UnauthorizedError, QueueUnavailableError):
            return STRANGER

    def authenticate_link(self, path: str, query: bytes) -> Principal:
        found = read_link(query)
        if found is None:
            raise UnauthorizedError
        before, ticket = found
        if self._known is None:
            raise unavailable()
        record, principal = self._good.get(ticket.key_id, (None, ANONYMOUS))
        if record is None or not ticket.opens(record, path, before, self._now_ms):
            raise UnauthorizedError("Invalid download link: incomplete, changed or expired.")
        return principal

    def link(self, headers: RawHeaders, path: str, query: bytes) -> tuple[str, int | None]:
        record, _ = self._found(headers)
        return linked(path, query, ticket_of(record, path, query, self._now_ms)), LASTS_S

    def _found(self, headers: RawHeaders, *, basic: bool = False) -> tuple[KeyRecord, Principal]:
        token = self.token(headers, basic=basic)
        if token is None:
            raise UnauthorizedError
        if self._known is None:
            raise unavailable()
        found = self._good.get(key_id_of(token))
        if found is None or not found[0].fits(token):
            raise UnauthorizedError("Invalid API key: unknown, revoked or expired.")
        self._used.add(found[0].id)
        return found

    def token(self, headers: RawHeaders, *, basic: bool = False) -> bytes | None:
        given = dict(headers)
        return token_of(given, basic=basic) or session_token(given, self._cookie, by_cookie_alone=basic)

    def session(self, headers: RawHeaders) -> KeyRecord | None:
        """The valid key or session of a request; None if it has none."""
        try:
            return self._found(headers, basic=True)[0]
        except (UnauthorizedError, QueueUnavailableError):
            return None

    @property
    def _now_ms(self) -> float:
        """The time by Redis' clock."""
        return self._clock() * 1000 + self._ahead_ms

    async def look_later(self) -> None:
        with suppress(RedisError, OSError):  # the lane's reader reports it
            await self.look()
        self.sort_out()
        await asyncio.sleep(LOOK_EVERY_S)

    async def finds(self, key_id: str) -> bool:
        if not is_key_id(key_id) or key_id in self._ids:
            return False  # not a key, or a known key: revoked, expired, or with another secret
        with suppress(RedisError, OSError, TimeoutError):  # the lane's reader reports it
            await asyncio.wait_for(self._look_for_new(), NEW_KEY_LIMIT_S)
        return key_id in self._good

    async def look(self) -> None:
        """Read the keys if they have changed. Raises redis.exceptions.RedisError."""
        async with self._looking:  # else an older read could replace a newer read
            await self._look()

    async def _look(self) -> None:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.get(keys.access_version()).time()
        version, (seconds, micros) = await pipeline.execute()
        self._ahead_ms = seconds * 1000 + micros / 1000 - self._clock() * 1000
        if version != self._version or self._known is None or self._looks % LOOKS_A_READING == 0:
            stored: dict[bytes, bytes] = await self._client.hgetall(keys.access_keys())
            self._known = [record for record in map(decode_key, stored.values()) if record is not None]
            shares: dict[bytes, bytes] = await self._client.hgetall(keys.access_shares())
            self._shares = {owner.decode(): decode_share(text) for owner, text in shares.items()}
            self._ids = frozenset(record.id for record in self._known)
            self._version = version
            self.sort_out()
        self._looks += 1
        if self._looks % LOOKS_A_NOTE == 0:
            await self._note()

    @property
    def good_keys(self) -> int:
        return len(self._good)

    def sort_out(self) -> None:
        """Update the set of valid keys from the keys last read."""
        now_ms = self._now_ms
        before = self._good
        good = (record for record in self._known or () if record.good(now_ms))
        self._good = {record.id: self._known_as(record, before.get(record.id)) for record in good}

    def _known_as(
        self, record: KeyRecord, before: tuple[KeyRecord, Principal] | None
    ) -> tuple[KeyRecord, Principal]:
        share = self._shares.get(record.name, DEFAULT_SHARE)
        if before is not None and before[0] == record and before[1].share == share:
            return before
        return record, principal_of(record, share)

    async def _note(self) -> None:
        used, self._used = self._used, set()
        if used:
            now_ms = round(self._now_ms)
            await self._client.hset(keys.access_used(), mapping=dict.fromkeys(used, now_ms))


def principal_of(record: KeyRecord, share: Share = DEFAULT_SHARE) -> Principal:
    models = frozenset(record.models) or None
    return Principal(record.name, record.roles, models, quota_of(record), share)


def token_of(headers: Mapping[bytes, bytes], *, basic: bool = False) -> bytes | None:
    """The key of a request, from `Authorization: Bearer` or `X-API-Key`; None if it has none."""
    header = headers.get(b"authorization")
    if header is None:
        return headers.get(b"x-api-key")
    scheme, _, rest = header.partition(b" ")
    match scheme.lower():
        case b"bearer":
            return rest.strip()
        case b"basic" if basic:
            return _password(rest)
        case _:
            return headers.get(b"x-api-key")


def _password(encoded: bytes) -> bytes | None:
    try:
        return b64decode(encoded, validate=True).partition(b":")[2]
    except Error:
        return None
