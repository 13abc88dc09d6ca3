"""Gathers the facts from which `shared/conditions/` decides, in a few round trips to Redis.

`EngineProgress` finds engines that stand still; times are passed in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from api.fleet.redis_stats import RedisStats, read_queue
from api.fleet.redis_status import RedisStatus
from api.fleet.waiting_work import FleetState
from api.http.lifecycle import Lifecycle
from api.models.catalog import Catalog
from api.models.deployment_store import Deployments
from shared import keys
from shared.conditions import GatewayFacts, RedisFacts, StatusFacts, StoreFacts
from shared.errors import PayloadError
from shared.history import SLOT_S, SlotCounts, read_slot, slot_of, together
from shared.hourly_history import HOUR_S, hour_of, read_hour
from shared.keys import ModelKey
from shared.lanes import Lanes
from shared.payloads import PayloadStore
from shared.safe_texts import foreign_text
from shared.worker_records import WorkerRecord

LOOK_LIMIT_S = 1.5
"""If Redis takes longer, it counts as down: a verdict must not wait for it."""
STORE_LIMIT_S = 1.5
GATEWAY_SILENT_S = 3.0
GATEWAY_FORGOTTEN_S = 3600.0
_FIVE_MINUTES, _QUARTER_HOUR = 300 // SLOT_S, 900 // SLOT_S
_SAMPLE = 50
"""Webhooks that are checked for failed attempts: those with the latest due time."""


@dataclass(frozen=True)
class Gatherer:
    """Observes this gateway and everything that it can see."""

    name: str  # of this gateway process
    client: Redis
    queue: RedisStatus
    lifecycle: Lifecycle
    fleet: FleetState
    catalog: Catalog
    deployments: Deployments
    payloads: PayloadStore
    progress: EngineProgress

    async def gather(self) -> StatusFacts:
        """The facts now. Never raises: what does not answer is a fact."""
        store = asyncio.create_task(self._store())
        try:
            async with asyncio.timeout(LOOK_LIMIT_S):
                found = await self._read()
        except (RedisError, OSError, TimeoutError) as error:
            return StatusFacts(
                now_ms=round(time.time() * 1000),
                redis_error=_reason(error),
                gateway=self._gateway(0.0, {}),
                store=await store,
            )
        return self._facts(found, await store)

    async def _read(self) -> _Found:
        queue = await read_queue(self.client)
        now_s = queue.now_ms / 1000
        received_s = time.time()
        pipeline: Any = self.client.pipeline(transaction=False)  # Any: redis-py's union of answers
        slots = [slot_of(now_s) - SLOT_S * back for back in range(_QUARTER_HOUR)]
        for slot in slots:
            pipeline.hgetall(keys.history(slot))
        for hour in (hour_of(now_s), hour_of(now_s) - HOUR_S):
            pipeline.hgetall(keys.hour(str(hour)))
        pipeline.zrevrange(keys.webhooks(), 0, _SAMPLE - 1)
        pipeline.hgetall(keys.damaged())
        pipeline.zrangebyscore(
            keys.gateways(), queue.now_ms - GATEWAY_FORGOTTEN_S * 1000, "+inf", withscores=True
        )
        answers = await pipeline.execute()
        webhooks, damaged, gateways = answers[-3:]
        return _Found(
            queue=queue,
            clock_offset_s=received_s - queue.latency_s - now_s,
            slots=[read_slot(fields) for fields in answers[:_QUARTER_HOUR]],
            failed_jobs=_failed_jobs(answers[_QUARTER_HOUR:-3]),
            failing_webhooks=await self._failing(webhooks),
            damaged=damaged,
            gateways={name.decode(errors="replace"): at_ms for name, at_ms in gateways},
            lanes=await self.fleet.lanes.lanes(),
        )

    async def _failing(self, job_ids: Sequence[bytes]) -> int:
        """Of these jobs, those with an attempt to deliver their webhook: it is due, so the attempt failed."""
        if not job_ids:
            return 0
        pipeline: Any = self.client.pipeline(transaction=False)  # Any: as above
        for job_id in job_ids:
            pipeline.xlen(keys.job_webhook(job_id.decode()))
        return sum(1 for attempts in await pipeline.execute() if attempts)

    def _facts(self, found: _Found, store: StoreFacts) -> StatusFacts:
        fleet = self.fleet.now
        return StatusFacts(
            now_ms=found.queue.now_ms,
            redis=_redis_facts(found, self.queue),
            gateway=self._gateway(found.clock_offset_s, self._silent(found)),
            store=store,
            workers=fleet.workers,
            silent_workers=fleet.silent,
            starts=fleet.lives,
            stuck=self.progress.see(fleet.workers, time.monotonic()),
            wanted=self.catalog.defaults,
            lanes=found.lanes,
            five_minutes=_summed(found.slots[:_FIVE_MINUTES]),
            quarter_hour=_summed(found.slots),
            failed_jobs=found.failed_jobs,
            deployments=list(self.deployments.known.values()),
        )

    def _silent(self, found: _Found) -> dict[str, float]:
        """Seconds since the sign of life of each silent gateway; while Redis is away, none is written."""
        if self.queue.up_s() < GATEWAY_SILENT_S:
            return {}
        ages_s = {name: (found.queue.now_ms - at_ms) / 1000 for name, at_ms in found.gateways.items()}
        return {
            name: age_s for name, age_s in ages_s.items() if age_s > GATEWAY_SILENT_S and name != self.name
        }

    def _gateway(self, clock_offset_s: float, silent: Mapping[str, float]) -> GatewayFacts:
        default = self.catalog.default
        fleet = self.fleet.now
        return GatewayFacts(
            name=self.name,
            stopping=self.lifecycle.draining,
            default_model=default.key if default else "",
            serves_default=default is None or fleet.serves(default.key),
            clock_offset_s=clock_offset_s,
            silent=silent,
            wrong_specs={
                name: foreign_text(error.detail) for name, error in self.catalog.repository.wrong.items()
            },
        )

    async def _store(self) -> StoreFacts:
        try:
            async with asyncio.timeout(STORE_LIMIT_S):
                return StoreFacts(*await asyncio.to_thread(_room, self.payloads))
        except PayloadError as error:
            return StoreFacts(error=foreign_text(error.detail))
        except TimeoutError:
            return StoreFacts(error=f"no answer within {STORE_LIMIT_S:g} s")


@dataclass(frozen=True)
class _Found:
    queue: RedisStats
    clock_offset_s: float
    slots: Sequence[dict[ModelKey, SlotCounts]]
    failed_jobs: Mapping[ModelKey, int]
    failing_webhooks: int
    damaged: Mapping[bytes, bytes]
    gateways: Mapping[str, float]
    lanes: Lanes


def _reason(error: Exception) -> str:
    """Why Redis does not answer. The error's own text may contain the URL and its password."""
    match error:
        case AuthenticationError() | AuthorizationError():
            return "it rejects the user name or password"
        case RedisConnectionError() if "max number of clients" in str(error):
            return "it has too many connections (maxclients)"
        case TimeoutError() | RedisTimeoutError():
            return f"no answer within {LOOK_LIMIT_S:g} s"
        case _:
            return "the connection fails"


def _room(payloads: PayloadStore) -> tuple[int | None, int | None]:
    return payloads.free_bytes(), payloads.limit_bytes()


def _redis_facts(found: _Found, status: RedisStatus) -> RedisFacts:
    queue = found.queue
    return RedisFacts(
        memory_used_bytes=queue.memory_used_bytes,
        memory_limit_bytes=queue.memory_limit_bytes,
        log_ok=queue.log_ok,
        has_log=queue.has_log,
        evicts=queue.evicts,
        latency_s=queue.latency_s,
        refuses=foreign_text(status.refusal),
        dead_letters=queue.dead_letters,
        waiting_webhooks=queue.webhooks,
        failing_webhooks=found.failing_webhooks,
        damaged_objects=int(found.damaged.get(b"count", 0)),
        damaged_job=found.damaged.get(b"job", b"").decode(errors="replace"),
    )


def _summed(slots: Sequence[Mapping[ModelKey, SlotCounts]]) -> dict[ModelKey, SlotCounts]:
    present = {key for slot in slots for key in slot}
    return {key: together([slot[key] for slot in slots if key in slot]) for key in present}


def _failed_jobs(hours: Sequence[Mapping[bytes, bytes]]) -> dict[ModelKey, int]:
    found: dict[ModelKey, int] = {}
    for hour in map(read_hour, hours):
        for key, counts in hour.items():
            found[key] = found.get(key, 0) + counts.numbers["jobs_failed"]
    return found


@dataclass(frozen=True)
class _Mark:
    work: str
    busy_s: float
    since_s: float


class EngineProgress:
    """Compares heartbeats: an engine that has the same work and the same time of use makes no progress."""

    def __init__(self) -> None:
        self._marks: dict[str, _Mark] = {}

    def see(self, workers: Iterable[WorkerRecord], now_s: float) -> Mapping[str, float]:
        """→ seconds without progress by worker name, of workers that have work"""
        self._marks = {worker.name: self._mark(worker, now_s) for worker in workers if worker.current}
        return {name: now_s - mark.since_s for name, mark in self._marks.items()}

    def _mark(self, worker: WorkerRecord, now_s: float) -> _Mark:
        busy_s = worker.online_s + worker.offline_s
        before = self._marks.get(worker.name)
        if before is not None and (before.work, before.busy_s) == (worker.current, busy_s):
            return before
        return _Mark(worker.current, busy_s, now_s)
