"""A request's headers → whose it is, by the keys that are good now. Nothing here waits for Redis.

The keys are read from the queue every second if they have changed, so that every gateway refuses a revoked
key within two. An unknown key causes one look at once (`entered`), so that a new key is good at its first
use; such looks are shared, and at most five a second. While Redis is away the last keys stand, and still
expire.
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

from api.access.principal import ANONYMOUS, STRANGER, Principal
from api.access.quotas import allowance_of
from api.access.rare_look import RareLook
from api.access.signed_links import LASTS_S, linked, read_link, ticket_of
from api.http.unavailable import unavailable
from shared import keys
from shared.access import DEFAULT_SHARE, KeyRecord, Share, decode_key, decode_share, is_key_id, key_id_of
from shared.errors import QueueUnavailable, Unauthorized

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
NEW_KEY_LOOK_EVERY_S = 0.2
"""The least time between two looks that unknown keys cause: guessing keys costs Redis no more."""
NEW_KEY_LIMIT_S = 1.0
LOOKS_A_READING = 30
"""… and with how many of those all keys are read, whether or not they have changed."""
LOOKS_A_NOTE = 60
"""… and with how many of those it is noted which were used."""

RawHeaders = Iterable[tuple[bytes, bytes]]
"""As ASGI has them."""


class Authenticator(Protocol):
    """Who is let in."""

    asks: bool
    """Whether for a key at all."""

    def enter(self, headers: RawHeaders, *, basic: bool = False) -> Principal:
        """Whose request has these headers. `basic`: a key that came as a password will do.

        Raises Unauthorized, or QueueUnavailable where no keys could be read yet.
        """
        ...

    def greet(self, headers: RawHeaders) -> Principal:
        """The same, for what answers everybody: STRANGER where `enter` would raise."""
        ...

    def enter_by_link(self, path: str, query: bytes) -> Principal:
        """Whose ticket a link bears (`api/access/signed_links.py`). Raises Unauthorized where it bears
        none."""
        ...

    def link(self, headers: RawHeaders, path: str, query: bytes) -> tuple[str, int | None]:
        """The address with a ticket of whoever has these headers, and for how many seconds that is good;
        None where no key is asked for. Raises Unauthorized."""
        ...

    async def finds(self, key_id: str) -> bool:
        """Whether Redis has a key of this id that is good and was not known here."""
        ...

    async def look_later(self) -> None:
        """One turn of the watch: look which keys are good, then rest."""
        ...


async def entered(gate: Authenticator, enter: Callable[[], Principal], key_id: str) -> Principal:
    """What `enter` returns; it is called again if the key was made since the gate looked last."""
    try:
        return enter()
    except Unauthorized:
        if not await gate.finds(key_id):
            raise
    return enter()


class OpenAuthenticator:
    """Lets everybody in."""

    asks = False

    def enter(self, headers: RawHeaders, *, basic: bool = False) -> Principal:  # noqa: ARG002 - as `Authenticator` has it
        return ANONYMOUS

    def greet(self, headers: RawHeaders) -> Principal:  # noqa: ARG002 - as `Authenticator` has it
        return ANONYMOUS

    def enter_by_link(self, path: str, query: bytes) -> Principal:  # noqa: ARG002 - as `Authenticator` has it
        return ANONYMOUS

    def link(self, headers: RawHeaders, path: str, query: bytes) -> tuple[str, int | None]:  # noqa: ARG002
        return (f"{path}?{query.decode()}" if query else path), None

    async def finds(self, key_id: str) -> bool:  # noqa: ARG002 - as `Authenticator` has it
        return False

    async def look_later(self) -> None:
        await asyncio.Event().wait()  # there is nothing to look at


class KeyAuthenticator:
    """Lets in who has a key that is good."""

    asks = True

    def __init__(self, client: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._client: Any = client  # Any: redis-py's union of what RESP2 and RESP3 answer
        self._clock = clock
        self._looks = 0
        self._known: list[KeyRecord] | None = None
        """Every key that is kept; None: never read yet."""
        self._version: bytes | None = None
        self._ahead_ms = 0.0
        """Of this process's clock, Redis' one."""
        self._shares: dict[str, Share] = {}
        """By owner, where it is not the default."""
        self._good: dict[str, tuple[KeyRecord, Principal]] = {}
        self._used: set[str] = set()
        self._ids: frozenset[str] = frozenset()
        self._looking = asyncio.Lock()
        self._look_for_new = RareLook(self.look, NEW_KEY_LOOK_EVERY_S)

    def enter(self, headers: RawHeaders, *, basic: bool = False) -> Principal:
        return self._found(headers, basic=basic)[1]

    def greet(self, headers: RawHeaders) -> Principal:
        try:
            return self.enter(headers)
        except (Unauthorized, QueueUnavailable):
            return STRANGER

    def enter_by_link(self, path: str, query: bytes) -> Principal:
        found = read_link(query)
        if found is None:
            raise Unauthorized
        before, ticket = found
        if self._known is None:
            raise unavailable()
        record, principal = self._good.get(ticket.key_id, (None, ANONYMOUS))
        if record is None or not ticket.opens(record, path, before, self._now_ms):
            raise Unauthorized("This link opens nothing: it is not whole, or past its end.")
        return principal

    def link(self, headers: RawHeaders, path: str, query: bytes) -> tuple[str, int | None]:
        record, _ = self._found(headers)
        return linked(path, query, ticket_of(record, path, query, self._now_ms)), LASTS_S

    def _found(self, headers: RawHeaders, *, basic: bool = False) -> tuple[KeyRecord, Principal]:
        token = token_of(dict(headers), basic=basic)
        if token is None:
            raise Unauthorized
        if self._known is None:
            raise unavailable()
        found = self._good.get(key_id_of(token))
        if found is None or not found[0].fits(token):
            raise Unauthorized("This API key opens nothing: it is unknown, revoked or past its expiry.")
        self._used.add(found[0].id)
        return found

    @property
    def _now_ms(self) -> float:
        """By Redis' clock."""
        return self._clock() * 1000 + self._ahead_ms

    async def look_later(self) -> None:
        with suppress(RedisError, OSError):  # the lane's reader reports it
            await self.look()
        self.sort_out()
        await asyncio.sleep(LOOK_EVERY_S)

    async def finds(self, key_id: str) -> bool:
        if not is_key_id(key_id) or key_id in self._ids:
            return False  # no key, or one that is known: revoked, expired, or with another secret
        with suppress(RedisError, OSError, TimeoutError):  # the lane's reader reports it
            await asyncio.wait_for(self._look_for_new(), NEW_KEY_LIMIT_S)
        return key_id in self._good

    async def look(self) -> None:
        """Read the keys where they have changed. Raises redis.exceptions.RedisError."""
        async with self._looking:  # else an older reading could take the place of a newer one
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
        """Keep the keys that are good now."""
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
    return Principal(record.name, record.roles, models, allowance_of(record), share)


def token_of(headers: Mapping[bytes, bytes], *, basic: bool = False) -> bytes | None:
    """The key that a request bears, as `Authorization: Bearer` or `X-API-Key`; None where it has none."""
    said = headers.get(b"authorization")
    if said is None:
        return headers.get(b"x-api-key")
    scheme, _, rest = said.partition(b" ")
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
