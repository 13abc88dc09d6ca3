"""API keys for tests, created and stored in the same way as by `takt keys create`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import redis

from shared import keys
from shared.api_keys import KeyRecord, encode_key
from shared.key_requests import KeyRequest, made


@dataclass(frozen=True)
class Holder:
    """A key's owner."""

    record: KeyRecord
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}


def holder(name: str, *roles: str, models: tuple[str, ...] = (), **changes: Any) -> Holder:
    """A key that is not stored yet. `changes`: fields of its record."""
    record, token = made(KeyRequest(name, roles, models), now_ms=1)
    return Holder(msgspec.structs.replace(record, **changes), token)


async def keep(client: Any, *holders: Holder) -> None:  # Any: fakeredis has no types
    """Store these keys in the queue."""
    for one in holders:
        await client.hset(keys.access_keys(), one.record.id, encode_key(one.record))
    await client.incr(keys.access_version())


def keep_now(client: redis.Redis, *holders: Holder) -> None:
    """The same, from a thread."""
    for one in holders:
        client.hset(keys.access_keys(), one.record.id, encode_key(one.record))
    client.incr(keys.access_version())
