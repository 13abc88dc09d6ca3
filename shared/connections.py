"""Redis connections of all programs: bounded waits, no hidden retry of a write, and Sentinel support.

A new client has not connected yet. Its commands raise redis.exceptions.RedisError. A connection that breaks,
or that leads to a replica, is replaced at the next command; with Sentinel, by a connection to the current
primary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.connection import AbstractConnection, BlockingConnectionPool
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import (
    ConnectionError,  # noqa: A004 - redis-py's own
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import Sentinel

from shared.library_hooks import require_hooks
from shared.sentinels import SentinelAddress, is_sentinel, sentinel_address

require_hooks("redis", AbstractConnection, ("send_packed_command",))
require_hooks("redis", BlockingConnectionPool, ("get_connection", "release"))
require_hooks("redis", SentinelConnectionPool, ("get_master_address",))

TIMEOUT_S = 3.0
"""Limit for connecting and for an answer. Longer than BLOCK_MS, so that a half-open socket times out and a
quiet
stream does not."""
BLOCK_MS = 1000
MOST_CONNECTIONS = 32
POOL_WAIT_S = 3.0
_REFUSALS = ("MISCONF", "NOREPLICAS", "BUSY")
"""Errors of a server that cannot write now, for which redis-py has no class."""


def connect(url: str, *, timeout_s: float = TIMEOUT_S, protocol: int | None = None) -> redis.Redis:
    """A client for threads."""
    options = _options(timeout_s, Retry(NoBackoff(), 0))
    if protocol is not None:
        options["protocol"] = protocol
    if not is_sentinel(url):
        return redis.Redis.from_url(url, **options)
    address = sentinel_address(url)
    sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py left it so
        address.sentinels, sentinel_kwargs=_asking(address, options)
    )
    client: redis.Redis = sentinel.master_for(address.service, **options, **address.credentials)  # type: ignore[no-untyped-call]
    return client


def connect_async(url: str) -> redis.asyncio.Redis:
    """A client for asyncio. If all connections are in use, a command waits up to POOL_WAIT_S."""
    options = _options(TIMEOUT_S, AsyncRetry(NoBackoff(), 0))
    pool: dict[str, Any] = {"max_connections": MOST_CONNECTIONS, "timeout": POOL_WAIT_S}
    if not is_sentinel(url):
        return _honest(redis.asyncio.Redis.from_pool(BlockingConnectionPool.from_url(url, **options, **pool)))
    address = sentinel_address(url)
    sentinel = AsyncSentinel(  # type: ignore[no-untyped-call]  # redis-py left it so
        address.sentinels, sentinel_kwargs=_asking(address, options)
    )
    client: redis.asyncio.Redis = sentinel.master_for(
        address.service, connection_pool_class=_BlockingSentinelPool, **options, **pool, **address.credentials
    )
    return _honest(client)


class _BlockingSentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Gets the address from Sentinel, like the first base, and waits for a connection, like the second."""


class _Honest:
    """A connection that reports ConnectionError if it is closed during a write.

    uvloop's transport raises RuntimeError in this case, and redis-py passes it on.
    """

    async def send_packed_command(self, *args: Any, **options: Any) -> None:  # Any: redis-py's signature
        try:
            await super().send_packed_command(*args, **options)  # type: ignore[misc]  # of redis-py's class
        except RuntimeError as error:
            raise ConnectionError(f"The connection was closed: {error}") from error


def _honest(client: redis.asyncio.Redis) -> redis.asyncio.Redis:
    """The client with such connections, whatever connection class its URL requires."""
    pool = client.connection_pool
    pool.connection_class = type("HonestConnection", (_Honest, pool.connection_class), {})
    return client


@dataclass(frozen=True)
class Broker:
    """The same server in kombu's notation (Any: its own options)."""

    url: str
    options: Mapping[str, Any]
    tls: Mapping[str, str]
    """Certificate options that the URL cannot contain; empty: it contains them, or there is no TLS."""


def broker_of(url: str) -> Broker:
    options: dict[str, Any] = {
        "socket_timeout": TIMEOUT_S,
        "socket_connect_timeout": TIMEOUT_S,
        "socket_keepalive": True,
    }
    if not is_sentinel(url):
        return Broker(url, options, {})
    address = sentinel_address(url)
    asking = _asking(address, _options(TIMEOUT_S, Retry(NoBackoff(), 0)))
    finding = {"master_name": address.service, "sentinel_kwargs": asking}
    return Broker(address.broker_url, options | finding, address.tls)


def refuses_writes(error: Exception) -> bool:
    """Whether the error means that the server cannot accept writes: it is full, a replica, or its disk
    fails."""
    if isinstance(error, OutOfMemoryError | ReadOnlyError | MasterDownError):
        return True
    return isinstance(error, ResponseError) and str(error).startswith(_REFUSALS)


def means_away(error: RedisError) -> bool:
    """Whether the server is away or accepts no work, as opposed to an invalid command."""
    return refuses_writes(error) or not isinstance(error, ResponseError)


def _options(timeout_s: float, retry: Retry | AsyncRetry) -> dict[str, Any]:  # Any: redis-py's keywords
    return {
        "socket_connect_timeout": timeout_s,
        "socket_timeout": timeout_s,
        "socket_keepalive": True,
        "retry": retry,  # the caller decides whether a write is retried
        # if enabled, a pool returns connections that the server has closed, and each fails one request
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def _asking(address: SentinelAddress, options: Mapping[str, Any]) -> dict[str, Any]:
    """The same options for Sentinels: an unreachable Sentinel must not delay the next."""
    return {**options, "password": address.sentinel_password, **address.transport}
