"""The stored API keys, for administrators. Every gateway follows a change within two seconds."""

from __future__ import annotations

from typing import Any

import msgspec
from redis.asyncio import Redis

from shared import keys
from shared.api_keys import (
    DEFAULT_SHARE,
    KeyRecord,
    Share,
    decode_key,
    decode_share,
    encode_key,
    encode_share,
)
from shared.errors import NotFoundError
from shared.key_requests import KeyRequest, ShareChange, changed, key_document, made, outdated
from shared.safe_texts import named


class KeyStore:
    """Methods raise redis.exceptions.RedisError."""

    def __init__(self, client: Redis) -> None:
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers

    async def documents(self) -> list[dict[str, object]]:
        """All keys in JSON without their secrets, the oldest first."""
        now_ms, shares, found = await self._now_ms(), await self._shares(), await self._all()
        stored = await self._client.hgetall(keys.access_used())
        used = {key.decode(): int(at_ms) for key, at_ms in stored.items()}
        return [
            key_document(key, shares.get(key.name, DEFAULT_SHARE), now_ms, used.get(key.id))
            for key in sorted(found, key=lambda key: key.created_at_ms)
        ]

    async def create(self, request: KeyRequest) -> tuple[KeyRecord, str]:
        """Store a new key. → its record and its token. Raises InvalidInputError."""
        now_ms = await self._now_ms()
        record, token = made(request, now_ms)
        share = changed((await self._shares()).get(record.name, DEFAULT_SHARE), request.share)
        await self._put(record, now_ms)
        if share != DEFAULT_SHARE:
            await self._put_share(record.name, share)
        return record, token

    async def revoke(self, key_id: str) -> dict[str, object]:
        """Revoke a key; a second time has no effect. → the key in JSON. Raises NotFoundError."""
        now_ms = await self._now_ms()
        record = next((key for key in await self._all() if key.id == key_id), None)
        if record is None:
            raise NotFoundError(f"No key has the id {named(key_id)}.")
        if record.revoked_at_ms is None:
            record = msgspec.structs.replace(record, revoked_at_ms=now_ms)
            await self._put(record, now_ms)
        share = (await self._shares()).get(record.name, DEFAULT_SHARE)
        return key_document(record, share, now_ms, None)

    async def change_share(self, owner: str, change: ShareChange) -> Share:
        """Change the share of an owner, named directly or by the id of one of its keys. → the new share

        Raises NotFoundError, InvalidInputError.
        """
        names = {key.id: key.name for key in await self._all()}
        name = names.get(owner, owner)
        if name not in names.values():
            raise NotFoundError(f"No key has the name or id {named(owner)}.")
        share = changed((await self._shares()).get(name, DEFAULT_SHARE), change)
        await self._put_share(name, share)
        return share

    async def _now_ms(self) -> int:
        seconds, micros = await self._client.time()
        return int(seconds * 1000 + micros // 1000)

    async def _all(self) -> list[KeyRecord]:
        found = map(decode_key, await self._client.hvals(keys.access_keys()))
        return [record for record in found if record is not None]

    async def _shares(self) -> dict[str, Share]:
        found = await self._client.hgetall(keys.access_shares())
        return {owner.decode(): decode_share(text) for owner, text in found.items()}

    async def _put(self, record: KeyRecord, now_ms: int) -> None:
        gone, nameless = outdated(await self._all(), record, now_ms)
        change = self._client.pipeline(transaction=True)
        if gone:
            change.hdel(keys.access_keys(), *gone).hdel(keys.access_used(), *gone)
        if nameless:
            change.hdel(keys.access_shares(), *nameless)
        change.hset(keys.access_keys(), record.id, encode_key(record)).incr(keys.access_version())
        await change.execute()

    async def _put_share(self, owner: str, share: Share) -> None:
        change = self._client.pipeline(transaction=True)
        change.hset(keys.access_shares(), owner, encode_share(share)).incr(keys.access_version())
        await change.execute()
