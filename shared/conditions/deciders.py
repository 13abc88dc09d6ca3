"""Decides what is wrong: pure functions of the facts. Redis, gateways and storage are decided here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.conditions.facts import GatewayFacts, RedisFacts, StatusFacts, StoreFacts
from shared.conditions.records import Condition
from shared.conditions.work_deciders import of_models, of_work
from shared.conditions.worker_deciders import of_workers
from shared.safe_texts import size_text

MEMORY_SHARE = 0.85
SLOW_COMMAND_S = 0.05
NEARLY_FULL_SHARE = 0.1
FULL_SHARE = 0.01
FULL_BYTES = 8 * 2**20
"""About the largest chunk: with less space, and less than FULL_SHARE of the limit, jobs are rejected."""
MOST_CLOCK_DIFFERENCE_S = 5.0
MANY_WEBHOOKS = 100


def conditions_of(facts: StatusFacts) -> Sequence[Condition]:
    """Every condition that the facts show, consequences of others included."""
    return list(_found(facts))


def _found(facts: StatusFacts) -> Iterator[Condition]:
    yield from _of_gateway(facts.gateway)
    yield from _of_store(facts.store)
    if facts.redis is None:
        yield Condition("redis_down", "", {"reason": facts.redis_error or "no connection"})
        return
    yield from _of_redis(facts.redis)
    yield from of_workers(facts)
    yield from of_models(facts)
    yield from of_work(facts)


def _of_gateway(gateway: GatewayFacts) -> Iterator[Condition]:
    if gateway.stopping:
        yield Condition("gateway_stopping", gateway.name)
    for name in gateway.silent:
        yield Condition("gateway_silent", name)
    for model, reason in gateway.wrong_specs.items():
        yield Condition("model_spec_wrong", model, {"reason": reason})
    if abs(gateway.clock_offset_s) > MOST_CLOCK_DIFFERENCE_S:
        yield clock_off(f"gateway {gateway.name}", gateway.clock_offset_s)


def clock_off(subject: str, offset_s: float) -> Condition:
    return Condition("clock_off", subject, {"seconds": round(abs(offset_s))})


def _of_store(store: StoreFacts) -> Iterator[Condition]:
    if store.error:
        yield Condition("storage_away", "", {"reason": store.error})
    free, limit = store.free_bytes, store.limit_bytes
    if free is None or not limit:
        return
    parameters = {"free": size_text(free), "limit": size_text(limit)}
    if free < min(FULL_BYTES, limit * FULL_SHARE):
        yield Condition("storage_full", "", dict(parameters))
    elif free < limit * NEARLY_FULL_SHARE:
        yield Condition("storage_nearly_full", "", dict(parameters))


def _of_redis(redis: RedisFacts) -> Iterator[Condition]:
    if redis.refuses:
        yield Condition("redis_refuses_writes", "", {"reason": redis.refuses})
    limit = redis.memory_limit_bytes
    if limit and redis.memory_used_bytes > limit * MEMORY_SHARE:
        yield Condition(
            "redis_memory_nearly_full", "", {"percent": round(100 * redis.memory_used_bytes / limit)}
        )
    if not redis.log_ok:
        yield Condition("redis_log_fails")
    if not redis.has_log:
        yield Condition("redis_not_persistent", "", {"reason": "it has no append-only file"})
    elif redis.evicts:
        yield Condition("redis_not_persistent", "", {"reason": "it evicts keys when its memory is full"})
    if redis.latency_s > SLOW_COMMAND_S:
        yield Condition("redis_slow", "", {"milliseconds": round(redis.latency_s * 1000)})
    yield from _of_collections(redis)


def _of_collections(redis: RedisFacts) -> Iterator[Condition]:
    if redis.dead_letters:
        yield Condition("dead_letters", "", {"count": redis.dead_letters})
    many = redis.waiting_webhooks if redis.waiting_webhooks > MANY_WEBHOOKS else 0
    if failing := redis.failing_webhooks or many:
        yield Condition("webhooks_fail", "", {"count": failing})
    if redis.damaged_objects:
        yield Condition(
            "objects_damaged", "", {"count": redis.damaged_objects, "job": redis.damaged_job or "?"}
        )
