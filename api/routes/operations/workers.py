"""Workers, lanes, and the recommended number of workers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, Query

from api.access.principal import Caller, Principal
from api.fleet.scaling import Bounds, Demand, wanted_workers
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from api.routes.operations.worker_views import (
    CHUNK,
    LaneList,
    Scaling,
    SilentWorker,
    Workers,
    WorkerView,
    job_of_chunk,
    lanes_view,
    time_view,
    worker_view,
)
from shared.keys import ModelKey, split_model_key
from shared.lanes import Lanes, ModelLanes
from shared.worker_records import WorkerRecord, WorkerState

router = APIRouter(tags=["operations"])

MOST_WORKERS = 10_000


@router.get("/workers", responses=of_errors(503))
async def workers(gateway: GatewayState, caller: Caller) -> Workers:
    """List the workers with a current heartbeat, by name."""
    fleet = gateway.fleet.now
    ordered = sorted(fleet.workers, key=lambda worker: worker.id)
    shown = [
        worker_view(worker, gateway.fleet.loads.of(worker.id), fleet.seen_at_ms.get(worker.id, 0))
        for worker in ordered
    ]
    if gateway.access.authenticator.asks and not caller.sees_all_jobs:
        await _hide_jobs_of_others(gateway, caller, shown)
    silent = [SilentWorker(name=name, last_seen_at=time_view(at_ms)) for name, at_ms in fleet.silent.items()]
    return Workers(workers=shown, silent=silent)


async def _hide_jobs_of_others(gateway: Gateway, caller: Principal, shown: Sequence[WorkerView]) -> None:
    """Remove the ids of other owners' jobs from `current`."""
    running = [(worker, job_id) for worker in shown if (job_id := job_of_chunk(worker.current))]
    records = await gateway.jobs.ledger.read_all(list({job_id for _, job_id in running}))
    own = {record.id for record in records if caller.reads(record.owner)}
    for worker, job_id in running:
        if job_id not in own:
            worker.current = CHUNK


@router.get("/lanes", responses=of_errors(503))
async def lanes(gateway: GatewayState) -> LaneList:
    """Waiting and running work of each model version that is served or has work."""
    found = await gateway.fleet.lanes.lanes()
    fleet = gateway.fleet.now
    return LaneList(
        read_at=time_view(found.read_at_ms),
        lanes=[lanes_view(key, each, fleet.holders(key)) for key, each in sorted(found.models.items())],
    )


async def _bounds(
    gateway: GatewayState,
    target_s: Annotated[
        float | None,
        Query(
            ge=1,
            le=86_400,
            description="Seconds within which waiting work should be done. Default: TAKT_SCALING_TARGET_S",
        ),
    ] = None,
    min_workers: Annotated[
        int, Query(ge=0, le=MOST_WORKERS, description="Lower limit of `wanted_workers`")
    ] = 0,
    max_workers: Annotated[
        int | None, Query(ge=0, le=MOST_WORKERS, description="Upper limit of `wanted_workers`")
    ] = None,
) -> Bounds:
    return Bounds(target_s or gateway.settings.scaling_target_s, min_workers, max_workers)


Asked: TypeAlias = Annotated[Bounds, Depends(_bounds)]
"""The limits and the target in an autoscaler's query."""


@router.get("/scaling", responses=of_errors(422, 503))
async def scaling_of_all(gateway: GatewayState, bounds: Asked) -> Scaling:
    """Recommended number of workers for all models together, if every worker holds every model."""
    found = await gateway.fleet.lanes.lanes()
    return _scaling(gateway, found, found.models, bounds)


@router.get("/scaling/{model}", responses=of_errors(404, 422, 503))
async def scaling(model: str, gateway: GatewayState, bounds: Asked) -> Scaling:
    """Recommended number of workers for a model, over all its versions."""
    name = gateway.catalog.find(model).spec.name
    found = await gateway.fleet.lanes.lanes()
    return _scaling(gateway, found, [key for key in found.models if split_model_key(key)[0] == name], bounds)


@router.get("/scaling/{model}/versions/{version}", responses=of_errors(404, 422, 503))
async def scaling_of_version(model: str, version: str, gateway: GatewayState, bounds: Asked) -> Scaling:
    """Recommended number of workers for a version of a model."""
    key = gateway.catalog.find(model, version).key
    return _scaling(gateway, await gateway.fleet.lanes.lanes(), [key], bounds)


def _scaling(gateway: Gateway, found: Lanes, keys: Iterable[ModelKey], bounds: Bounds) -> Scaling:
    fleet = gateway.fleet.now
    demands = {key: _demand(gateway, key, found.of(key)) for key in sorted(keys)}
    listed = demands.values()
    both = [lane for each in listed for lane in (each.lanes.online, each.lanes.offline)]
    return Scaling(
        wanted_workers=wanted_workers(listed, bounds),
        live_workers=sum(any(map(worker.holds, demands)) for worker in fleet.workers),
        starting_workers=sum(_starts(worker, demands) for worker in fleet.workers),
        rows_waiting=sum(lane.rows for lane in both),
        oldest_s=max((lane.oldest_s for lane in both), default=0.0),
        rows_per_s_online=round(sum(each.arriving_rows_per_s for each in listed), 1),
        rows_per_s_per_worker_online=round(_mean(each.online_rows_per_s for each in listed), 1),
        rows_per_s_per_worker_offline=round(_mean(each.offline_rows_per_s for each in listed), 1),
        target_s=bounds.target_s,
        lanes=[lanes_view(key, each.lanes, fleet.holders(key)) for key, each in demands.items()],
    )


def _starts(worker: WorkerRecord, keys: Collection[ModelKey]) -> bool:
    """Whether a worker serves none of these model versions yet, and may soon."""
    if worker.state is WorkerState.STARTING:
        return True
    is_loading = worker.state is WorkerState.SERVING and any(key in worker.loading for key in keys)
    return is_loading and not any(map(worker.holds, keys))


def _demand(gateway: Gateway, key: ModelKey, waiting: ModelLanes) -> Demand:
    held = [worker.models[key] for worker in gateway.fleet.now.workers if worker.holds(key)]
    return Demand(
        lanes=waiting,
        arriving_rows_per_s=gateway.fleet.loads.online_rows_per_s(key),
        online_rows_per_s=_mean(model.rows_per_s for model in held),
        offline_rows_per_s=_mean(model.slice_rows_per_s for model in held),
    )


def _mean(rates: Iterable[float]) -> float:
    """The mean of the rates that are not 0; 0 if all are."""
    known = [rate for rate in rates if rate]
    return sum(known) / len(known) if known else 0.0
