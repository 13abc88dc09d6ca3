"""Whether a gateway may open its door: none that others can reach does so without keys, unless told to."""

from __future__ import annotations

import time
from typing import Any

import redis
import structlog

from shared import keys
from shared.access import decode_key
from shared.connections import connect
from shared.errors import OperatorError
from shared.settings import Settings

log = structlog.get_logger()

NO_KEYS = (
    "other machines may reach this gateway ({where}), and there is no API key yet. Make one with "
    "`takt keys create NAME`; or start with TAKT_ACCESS=keys (`takt up --access keys`), which answers 401 "
    "until there is one; or let everybody in with TAKT_ACCESS=open."
)


def check_access(settings: Settings) -> None:
    """Raises OperatorError. A Redis that does not answer is no reason: requests are refused until it does."""
    if not settings.asks_for_keys():
        if settings.exposed():
            log.warning("access_open", host=settings.host, meaning="whoever reaches this gateway may use it")
        return
    if settings.access == "auto" and good_keys(settings) == 0:
        raise OperatorError(NO_KEYS.format(where=settings.publish or settings.host))


def good_keys(settings: Settings) -> int | None:
    """How many keys are good; None: nobody knows."""
    try:
        with connect(settings.redis_dsn()) as client:
            stored: Any = client.hvals(keys.access_keys())
    except redis.RedisError:
        return None
    now_ms = time.time() * 1000
    return sum(record is not None and record.good(now_ms) for record in map(decode_key, stored))
