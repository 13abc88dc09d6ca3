"""How the gateway reaches Redis: bounded waits, and no silent second try of a write."""

from __future__ import annotations

from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from shared.settings import Settings

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 3.0
"""Longer than BLOCK_MS: a half-open socket shows as a timeout, a quiet stream does not."""
BLOCK_MS = 1000
MOST_CONNECTIONS = 32
POOL_WAIT_S = 3.0


def open_redis(settings: Settings) -> Redis:
    """A client that has not connected yet. Its commands raise redis.exceptions.RedisError."""
    dsn = settings.redis_dsn()
    tcp = {} if urlsplit(dsn).scheme == "unix" else {"socket_keepalive": True}
    pool = BlockingConnectionPool.from_url(
        dsn,
        max_connections=MOST_CONNECTIONS,
        timeout=POOL_WAIT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=READ_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        # with them the pool hands out connections that the server has closed, and each fails one request
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **tcp,
    )
    return Redis.from_pool(pool)
