"""Sessions of people who signed in: expiring API keys that a browser holds in a cookie.

A browser sends a cookie with every request to the gateway, also with those that other pages cause (CSRF). A
session counts therefore only beside the header `X-CSRF-Token`, whose value `GET /session` answers to pages of
the gateway's own origin. Requests that browsers make directly, such as a page, need the cookie alone.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from shared import keys
from shared.api_keys import KeyRecord, Role, decode_key, digest_of, encode_key, new_token

COOKIE = b"takt-session"
SECURE_COOKIE = b"__Host-takt-session"
"""Over TLS. Browsers accept this prefix from the host itself only: no other host can plant a session."""
CSRF_HEADER = b"x-csrf-token"


def cookie_name(public_url: str) -> bytes:
    """The name of the cookie for a gateway at this URL."""
    return SECURE_COOKIE if public_url.startswith("https:") else COOKIE


def cookie_of(headers: Mapping[bytes, bytes], name: bytes) -> bytes | None:
    """The value of a request's cookie; None if it has none."""
    for part in headers.get(b"cookie", b"").split(b";"):
        found, equals, value = part.strip().partition(b"=")
        if equals and found == name:
            return value
    return None


def session_token(
    headers: Mapping[bytes, bytes], name: bytes, *, by_cookie_alone: bool = False
) -> bytes | None:
    """The session's token of a request. `by_cookie_alone`: without its CSRF token."""
    token = cookie_of(headers, name)
    if token is None or by_cookie_alone:
        return token
    given = headers.get(CSRF_HEADER, b"")
    return token if hmac.compare_digest(given, csrf_token(token).encode()) else None


def csrf_token(token: bytes) -> str:
    """The CSRF token of a session, which reveals nothing of the session's own token."""
    return hmac.new(token, b"csrf", hashlib.sha256).hexdigest()


class Sessions:
    """The stored sessions. They are records among the API keys, so that all gateways find them."""

    def __init__(self, client: Redis, lasts_s: float) -> None:
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers
        self.lasts_s = lasts_s

    async def begin(self, name: str, roles: frozenset[Role]) -> str:
        """Store a new session, and remove those that have expired. → its token

        Raises redis.exceptions.RedisError.
        """
        key_id, token = new_token()
        seconds, micros = await self._client.time()
        now_ms = seconds * 1000 + micros // 1000
        record = KeyRecord(
            id=key_id,
            name=name,
            sha256=digest_of(token.encode()),
            roles=roles,
            created_at_ms=now_ms,
            expires_at_ms=now_ms + round(self.lasts_s * 1000),
            session=True,
        )
        stored: dict[bytes, bytes] = await self._client.hgetall(keys.access_keys())
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hset(keys.access_keys(), key_id, encode_key(record))
        for ended in _ended(stored, now_ms):
            pipeline.hdel(keys.access_keys(), ended)
        await pipeline.incr(keys.access_version()).execute()
        return token

    async def end(self, record: KeyRecord) -> None:
        """Remove a session. Raises redis.exceptions.RedisError."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hdel(keys.access_keys(), record.id)
        await pipeline.incr(keys.access_version()).execute()


def _ended(stored: Mapping[bytes, bytes], now_ms: int) -> list[bytes]:
    """The ids of sessions that are no longer valid."""
    records = ((key_id, decode_key(text)) for key_id, text in stored.items())
    return [key_id for key_id, record in records if record and record.session and not record.good(now_ms)]
