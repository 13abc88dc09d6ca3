"""Statistics of Redis and of Takt's keys, read in a few round trips."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from shared import keys


@dataclass(frozen=True)
class RedisStats:
    """The state of the queue at a moment."""

    now_ms: int  # by its own clock
    latency_s: float
    jobs: int
    ended_jobs: int  # of those
    leases: int
    webhooks: int
    dead_letters: int
    dead_letters_ever: int
    memory_used_bytes: int
    memory_limit_bytes: int  # 0: none
    clients: int
    log_ok: bool
    has_log: bool = True
    evicts: bool = False


async def read_queue(client: Redis) -> RedisStats:
    """Raises redis.exceptions.RedisError if Redis does not answer."""
    asked_s = time.perf_counter()
    seconds, micros = await client.time()
    latency_s = time.perf_counter() - asked_s
    pipeline = client.pipeline(transaction=False)
    for index in (keys.jobs(), keys.expiring(), keys.leases(), keys.webhooks()):
        pipeline.zcard(index)
    pipeline.xlen(keys.dead_letters())
    pipeline.xinfo_stream(keys.dead_letters())
    *counts, letters = await pipeline.execute(raise_on_error=False)
    jobs, ended, leases, webhooks, kept = map(_count, counts)
    about: dict[str, Any] = await client.info("memory", "clients", "persistence")
    return RedisStats(
        now_ms=seconds * 1000 + micros // 1000,
        latency_s=latency_s,
        jobs=jobs,
        ended_jobs=ended,
        leases=leases,
        webhooks=webhooks,
        dead_letters=kept,
        dead_letters_ever=_ever(letters),
        memory_used_bytes=int(about.get("used_memory", 0)),
        memory_limit_bytes=int(about.get("maxmemory", 0)),
        clients=int(about.get("connected_clients", 0)),
        log_ok=about.get("aof_last_write_status", "ok") == "ok",
        has_log=bool(about.get("aof_enabled", 1)),
        evicts=about.get("maxmemory_policy", "noeviction") != "noeviction",
    )


def _count(answer: Any) -> int:  # Any: redis-py's own types
    if isinstance(answer, RedisError):
        raise answer
    return int(answer)


def _ever(letters: Any) -> int:
    """Number of entries ever added to a stream; 0 if the stream does not exist."""
    if isinstance(letters, ResponseError):
        return 0
    if isinstance(letters, RedisError):
        raise letters
    return int(letters.get("entries-added", 0))
