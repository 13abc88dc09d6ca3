"""Quotas of API keys: requests per period, rows per day. Counted in Redis for all gateways together.

Uses the sliding window counter of `limits`: the previous window counts in proportion to its overlap with the
current period. Rejected requests are not counted. A key without quotas costs nothing; a quota of requests
costs two round trips per request, and a quota of rows two more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerDay, WindowStats, parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import Redis
from starlette.types import Scope

from api.http.headers import add_headers
from shared import keys
from shared.api_keys import KeyRecord
from shared.errors import PayloadTooLargeError, RateLimitedError

REQUESTS, ROWS = "requests", "rows"


@dataclass(frozen=True)
class Quota:
    """Requests per period and rows per day. None: unlimited."""

    key_id: str
    requests: RateLimitItem | None
    rows: RateLimitItem | None

    @property
    def policy(self) -> bytes:
        """The value of the IETF's RateLimit-Policy: `"requests";q=100;w=1, "rows";q=1000000;w=86400`."""
        both = ((REQUESTS, self.requests), (ROWS, self.rows))
        return ", ".join(
            f'"{name}";q={item.amount};w={item.get_expiry()}' for name, item in both if item
        ).encode()


def quota_of(record: KeyRecord) -> Quota | None:
    """The quota of a key; None if it has no limits."""
    if not record.rate and record.rows_per_day is None:
        return None
    return Quota(
        record.id,
        parse(record.rate) if record.rate else None,
        None if record.rows_per_day is None else RateLimitItemPerDay(record.rows_per_day),
    )


class Limiter:
    """Counts the use of keys. Methods raise redis.exceptions.RedisError if Redis does not answer."""

    def __init__(self, client: Redis) -> None:
        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=keys.limits(),
            connection_pool=client.connection_pool,  # type: ignore[arg-type]  # accepted, see its docstring
        )
        self._windows = SlidingWindowCounterRateLimiter(storage)

    async def admit(self, quota: Quota, scope: Scope) -> None:
        """Count a request, and put the remaining quota into its response headers. Raises RateLimitedError."""
        add_headers(scope, (b"ratelimit-policy", quota.policy))
        if quota.requests is not None:
            await self._take(REQUESTS, quota.requests, quota.key_id, 1, scope)

    async def require_rows(self, quota: Quota | None) -> None:
        """Raises RateLimitedError if no row is left. Counts nothing."""
        if quota is None or quota.rows is None:
            return
        if not await self._windows.test(quota.rows, quota.key_id, ROWS):
            stats = await self._windows.get_window_stats(quota.rows, quota.key_id, ROWS)
            raise _refusal(ROWS, quota.rows, stats.remaining, _soon_s(stats))

    async def charge(self, quota: Quota | None, rows: int, scope: Scope | None = None) -> None:
        """Count rows before they run. Raises RateLimitedError, or PayloadTooLargeError if they exceed a day's
        quota."""
        if not rows or quota is None or quota.rows is None:
            return
        if rows > quota.rows.amount:
            raise PayloadTooLargeError(f"Your API key is limited to {quota.rows.amount} rows per day.")
        await self._take(ROWS, quota.rows, quota.key_id, rows, scope)

    async def _take(
        self, name: str, item: RateLimitItem, key_id: str, cost: int, scope: Scope | None
    ) -> None:
        taken = await self._windows.hit(item, key_id, name, cost=cost)
        stats = await self._windows.get_window_stats(item, key_id, name)
        soon_s = _soon_s(stats)
        if scope is not None:
            add_headers(scope, (b"ratelimit", f'"{name}";r={stats.remaining};t={soon_s}'.encode()))
        if not taken:
            raise _refusal(name, item, stats.remaining, soon_s)


def _soon_s(stats: WindowStats) -> int:
    return max(1, round(stats.reset_time - time.time()))


def _refusal(name: str, item: RateLimitItem, left: int, soon_s: int) -> RateLimitedError:
    return RateLimitedError(f"Your API key is limited to {item} ({name}); {left} left.", retry_after_s=soon_s)
