"""The access check at start: a gateway that other machines can reach needs API keys or TAKT_ACCESS=open."""

from __future__ import annotations

import time
from typing import Any

import redis
import structlog

from shared import keys
from shared.api_keys import decode_key
from shared.connections import connect
from shared.errors import OperatorError
from shared.settings import Settings

log = structlog.get_logger()

NO_KEYS = (
    "other machines may reach this gateway ({where}), and there is no API key yet. Create a key with "
    "`takt keys create NAME`; or start with TAKT_ACCESS=keys (`takt up --access keys`), which answers 401 "
    "until a key exists; or allow access without keys with TAKT_ACCESS=open."
)


def check_access(settings: Settings) -> None:
    """Raises OperatorError if access is `auto` and there is no key. If Redis does not answer, the gateway
    starts, and rejects requests until it does."""
    if not settings.asks_for_keys():
        if settings.exposed():
            log.warning("access_open", host=settings.host, meaning="every client can use this gateway")
        return
    if settings.access == "auto" and good_keys(settings) == 0:
        raise OperatorError(NO_KEYS.format(where=settings.publish or settings.host))


def good_keys(settings: Settings) -> int | None:
    """Number of valid keys; None if Redis does not answer."""
    try:
        with connect(settings.redis_dsn()) as client:
            stored: Any = client.hvals(keys.access_keys())
    except redis.RedisError:
        return None
    now_ms = time.time() * 1000
    return sum(record is not None and record.good(now_ms) for record in map(decode_key, stored))
