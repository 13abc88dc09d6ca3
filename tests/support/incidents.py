"""Facts of every condition: what a gateway would observe if it were real."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from shared.conditions import GatewayFacts, RedisFacts, StatusFacts, StoreFacts
from shared.deployments import Change, Deployment, Target
from shared.history import Count, SlotCounts
from shared.keys import ModelKey
from shared.lanes import Lanes, ModelLanes, OfflineQueue, OnlineQueue
from shared.rollouts import Rollout, RolloutState
from shared.worker_records import (
    HeldModel,
    LastExit,
    ModelState,
    SupervisorFacts,
    WorkerRecord,
    WorkerState,
)

NOW_MS = 1_800_000_000_000
KEY = ModelKey("iris@1.0.0")
MIB = 2**20


def moment(seconds_ago: float) -> str:
    return datetime.fromtimestamp(NOW_MS / 1000 - seconds_ago, UTC).isoformat()


def worker(
    *,
    state: WorkerState = WorkerState.SERVING,
    held: ModelState = ModelState.LOADED,
    exits: int = 0,
    silent_s: float = 0.0,
    clock_offset_s: float = 0.0,
) -> WorkerRecord:
    """A worker whose supervisor has restarted workers `exits` times in the last minute."""
    ended = tuple(
        LastExit(worker="w/0:1", at=moment(30 + n), reason="was killed by SIGKILL") for n in range(exits)
    )
    return WorkerRecord(
        id="w/0:2",
        host="here",
        pid=1,
        device="cpu",
        state=state,
        started_at=moment(3600),
        models={KEY: HeldModel(state=held, reason="golden rows differ" if held is ModelState.FAILED else "")},
        current="online iris@1.0.0",
        supervisor=SupervisorFacts(
            name="w", pid=1, workers=1, restarts=exits, recent_exits=ended, silent_s=silent_s
        ),
        clock_offset_s=clock_offset_s,
    )


HEALTHY = StatusFacts(
    now_ms=NOW_MS,
    redis=RedisFacts(),
    gateway=GatewayFacts(name="g", default_model=KEY),
    store=StoreFacts(free_bytes=50 * MIB, limit_bytes=100 * MIB),
    workers=(worker(),),
    wanted=(KEY,),
)


def redis(**facts: object) -> StatusFacts:
    return replace(HEALTHY, redis=RedisFacts(**facts))  # type: ignore[arg-type]


def store(free_bytes: int | None, error: str = "") -> StatusFacts:
    return replace(HEALTHY, store=StoreFacts(free_bytes, 100 * MIB, error))


def slots(**counts: int) -> Mapping[ModelKey, SlotCounts]:
    return {KEY: SlotCounts(Counter({Count(name): number for name, number in counts.items()}))}


def lanes(online: OnlineQueue = OnlineQueue(), offline: OfflineQueue = OfflineQueue()) -> Lanes:  # noqa: B008 - frozen
    return Lanes(NOW_MS, {KEY: ModelLanes(online, offline)})


def rolled_back() -> Deployment:
    rollout = Rollout(
        id="r",
        of="1.0.0",
        to="1.1.0",
        steps=(1.0,),
        hold_s=1.0,
        state=RolloutState.ROLLED_BACK,
        reason="max_error_rate: 9 of 200 requests failed",
    )
    target = Target(wanted=("1.0.0",), default="1.0.0")
    return Deployment(
        model="iris", target=target, change=Change(by="x"), rollout=rollout, changed_at_ms=NOW_MS - 1000
    )


_GATEWAY = HEALTHY.gateway
INCIDENTS: Mapping[str, StatusFacts] = {
    "redis_down": replace(HEALTHY, redis=None),
    "redis_refuses_writes": redis(
        refuses="OOM command not allowed", memory_used_bytes=99, memory_limit_bytes=100
    ),
    "redis_memory_nearly_full": redis(memory_used_bytes=90, memory_limit_bytes=100),
    "redis_log_fails": redis(log_ok=False),
    "redis_not_persistent": redis(has_log=False),
    "redis_slow": redis(latency_s=0.2),
    "gateway_silent": replace(HEALTHY, gateway=replace(_GATEWAY, silent={"g2": 9.0})),
    "gateway_stopping": replace(HEALTHY, gateway=replace(_GATEWAY, stopping=True)),
    "storage_full": store(1000),
    "storage_nearly_full": store(9 * MIB),
    "storage_away": store(None, "permission denied"),
    "objects_damaged": redis(damaged_objects=2, damaged_job="j"),
    "no_worker": replace(HEALTHY, workers=(), gateway=replace(_GATEWAY, serves_default=False)),
    "workers_drained": replace(HEALTHY, workers=(worker(state=WorkerState.DRAINING),)),
    "workers_starting": replace(
        HEALTHY, workers=(worker(state=WorkerState.STARTING, held=ModelState.LOADING),)
    ),
    "worker_silent": replace(HEALTHY, silent_workers={"v/0": NOW_MS - 9000, "v/1": NOW_MS - 8000}),
    "worker_restarted": replace(HEALTHY, workers=(worker(exits=1),)),
    "worker_crash_loop": replace(HEALTHY, workers=(worker(exits=4),)),
    "supervisor_impaired": replace(HEALTHY, workers=(worker(silent_s=12.0),)),
    "worker_stuck": replace(HEALTHY, stuck={"w/0": 14.0}),
    "clock_off": replace(HEALTHY, workers=(worker(clock_offset_s=-90.0),)),
    "default_model_not_served": replace(
        HEALTHY, gateway=replace(_GATEWAY, default_model="other@1.0.0", serves_default=False)
    ),
    "model_without_worker": replace(
        HEALTHY, lanes=Lanes(NOW_MS, {ModelKey("other@1.0.0"): ModelLanes(OnlineQueue(1, 5, 0, 9.0))})
    ),
    "model_not_loaded": replace(HEALTHY, wanted=(KEY, ModelKey("other@1.0.0"))),
    "model_failed": replace(HEALTHY, workers=(worker(held=ModelState.FAILED),)),
    "model_spec_wrong": replace(HEALTHY, gateway=replace(_GATEWAY, wrong_specs={"m": "no inputs"})),
    "rollout_rolled_back": replace(HEALTHY, deployments=(rolled_back(),)),
    "online_queue_old": replace(HEALTHY, lanes=lanes(OnlineQueue(1, 1, 0, 9.0))),
    "jobs_stand_still": replace(HEALTHY, lanes=lanes(offline=OfflineQueue(1, 3, 300, 0, 0, 20.0))),
    "jobs_old": replace(HEALTHY, lanes=lanes(offline=OfflineQueue(1, 3, 300, 1, 100, 5 * 3600.0))),
    "requests_rejected": replace(HEALTHY, five_minutes=slots(requests=90, errors=10, shed=10)),
    "predictions_fail": replace(HEALTHY, five_minutes=slots(requests=90, errors=10, failed=10)),
    "jobs_fail": replace(HEALTHY, failed_jobs={KEY: 2}),
    "chunks_retried": replace(HEALTHY, quarter_hour=slots(attempts=100, retries=20)),
    "rows_quarantined": replace(HEALTHY, quarter_hour=slots(attempts=100, quarantines=1)),
    "dead_letters": redis(dead_letters=3),
    "webhooks_fail": redis(waiting_webhooks=1, failing_webhooks=1),
}
"""By code of the condition."""
