"""Metrics of this gateway, read from memory without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from api.gateway import Gateway
from api.models.catalog import Servable
from api.telemetry.stages import StageTimes
from shared import VERSION
from shared.errors import ModelNotLoadedError, OverloadedError, QueueUnavailableError
from shared.keys import split_model_key
from shared.metrics import gateway_metrics as metrics
from shared.metrics.distribution import Distribution
from shared.metrics.exposition import Labels, Reading
from shared.metrics.metric import BUILD

_SHED = (OverloadedError.code, ModelNotLoadedError.code, QueueUnavailableError.code)
"""Reasons that are exported as 0 before they occur, so that `increase()` sees the first occurrence."""


def readings(gateway: Gateway) -> Iterator[Reading]:
    yield BUILD, {(VERSION,): 1}
    yield metrics.UPTIME, _one(gateway.lifecycle.uptime_s)
    yield metrics.READY, _one(gateway.ready())
    yield metrics.PROCESSES, _one(1 if gateway.siblings is None else gateway.siblings.count)
    yield metrics.DRAINING, _one(gateway.lifecycle.draining)
    yield metrics.QUEUE_OPEN, _one(gateway.queue.open)
    yield metrics.QUEUE_BREAKS, _one(gateway.queue.breaks)
    yield metrics.REDIS_ROUNDTRIP, {(): gateway.fleet.watch.roundtrips}
    yield metrics.HTTP_DURATION, dict(gateway.telemetry.http)
    yield from _online(gateway)
    yield from _offline(gateway)


def _online(gateway: Gateway) -> Iterator[Reading]:
    served = {split_model_key(servable.key): servable for servable in gateway.catalog}
    yield metrics.ADMITTED, {labels: model.counters.admitted for labels, model in served.items()}
    yield (
        metrics.SHED,
        {
            (*labels, reason): model.counters.shed[reason]
            for labels, model in served.items()
            for reason in dict.fromkeys((*_SHED, *model.counters.shed))
        },
    )
    yield (
        metrics.REQUESTS,
        {
            (*labels, outcome): count
            for labels, model in served.items()
            for outcome, count in _outcomes(model).items()
        },
    )
    yield (
        metrics.SHADOW_SENT,
        {
            (*split_model_key(key), outcome): rows
            for (key, outcome), rows in gateway.shadow_sampler.rows.items()
        },
    )
    inflight = gateway.online.dispatcher.inflight
    yield metrics.INFLIGHT_ROWS, {labels: inflight.rows_of(model.key) for labels, model in served.items()}
    yield metrics.INFLIGHT_LIMIT, _one(gateway.settings.max_inflight_rows)
    used = {labels: model.times for labels, model in served.items() if model.times.request_rows.count}
    yield metrics.REQUEST_ROWS, {labels: times.request_rows for labels, times in used.items()}
    yield metrics.REQUEST_BATCH_ROWS, {labels: times.batch_rows for labels, times in used.items()}
    yield metrics.STAGE_DURATION, _stages(used.items())


def _offline(gateway: Gateway) -> Iterator[Reading]:
    keys = [servable.key for servable in gateway.catalog]
    yield metrics.JOBS, {split_model_key(key): gateway.jobs.accepted.jobs[key] for key in keys}
    yield metrics.JOB_ROWS, {split_model_key(key): gateway.jobs.accepted.rows[key] for key in keys}
    yield metrics.UPLOADS, _one(gateway.jobs.uploads.running)
    yield metrics.UPLOADS_LIMIT, _one(gateway.settings.max_uploads)


def _outcomes(servable: Servable) -> dict[str, int]:
    return {"succeeded": servable.times.request_rows.count, **servable.counters.failed}


def _stages(used: Iterable[tuple[Labels, StageTimes]]) -> dict[Labels, Distribution]:
    return {(*labels, stage): took for labels, times in used for stage, took in times.stages_ms.items()}


def _one(value: float) -> dict[Labels, float]:
    return {(): float(value)}
