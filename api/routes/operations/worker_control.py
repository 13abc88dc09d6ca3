"""Orders to workers: drain, accept work again, restart; a worker's stacks and log events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import msgspec
import structlog
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.access.principal import Caller, Principal
from api.fleet.worker_orders import workers_named
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from shared.errors import InvalidStateError
from shared.recent_events import LogEvent, LogLevel
from shared.worker_records import WorkerRecord

router = APIRouter(tags=["operations"])
log = structlog.get_logger()

_ERRORS = of_errors(404, 409, 503)


WaitLimit: TypeAlias = Annotated[float, Query(gt=0, le=30, description="Longest wait for the worker")]


class OrderedWorkers(BaseModel):
    workers: list[str] = Field(description="The ids of the workers that got the order")


class WorkerStack(BaseModel):
    worker: str
    stack: str = Field(description="The stack of each thread: files, lines and functions, without values")


class LogEventView(BaseModel):
    """A log event. Inputs and secrets are never part of it."""

    at: str = Field(description="UTC, RFC 3339")
    level: str
    event: str
    logger: str
    fields: dict[str, str | int | float | bool | None]


class WorkerLog(BaseModel):
    worker: str
    events: list[LogEventView] = Field(description="The oldest first")


@router.post("/workers/{name:path}/drain", responses=_ERRORS)
async def drain(name: str, gateway: GatewayState, caller: Caller) -> OrderedWorkers:
    """Let workers finish what they hold and claim nothing. `name`: an id, a name, or a supervisor's name."""
    found = _found(gateway, name)
    await gateway.fleet.orders.drain(found)
    return _ordered("drain", found, caller)


@router.post("/workers/{name:path}/undrain", responses=_ERRORS)
async def undrain(name: str, gateway: GatewayState, caller: Caller) -> OrderedWorkers:
    """Let drained workers claim work again."""
    found = _found(gateway, name)
    await gateway.fleet.orders.undrain(found)
    return _ordered("undrain", found, caller)


@router.post("/workers/{name:path}/restart", status_code=202, responses=_ERRORS)
async def restart(name: str, gateway: GatewayState, caller: Caller) -> OrderedWorkers:
    """Replace workers: a successor serves before the worker finishes its work and ends."""
    found = _found(gateway, name)
    alone = [worker.id for worker in found if worker.supervisor is None]
    if alone:
        raise InvalidStateError(f"Worker {alone[0]} has no supervisor: restart its program.")
    await gateway.fleet.orders.restart(found)
    return _ordered("restart", found, caller)


@router.get("/workers/{name:path}/stack", responses=of_errors(404, 409, 422, 503, 504))
async def stack(
    name: str,
    gateway: GatewayState,
    limit_s: WaitLimit = 5.0,
) -> WorkerStack:
    """The stacks of a worker's threads now, for example of one that is stuck in a call."""
    worker = _single(gateway, name)
    return WorkerStack(worker=worker.id, stack=await gateway.fleet.orders.stack(worker, limit_s))


@router.get("/workers/{name:path}/log", responses=of_errors(404, 409, 422, 503, 504))
async def log_events(
    name: str,
    gateway: GatewayState,
    level: Annotated[LogLevel, Query(description="The lowest level")] = LogLevel.DEBUG,
    limit_s: WaitLimit = 5.0,
) -> WorkerLog:
    """The latest events of a worker's log: 100 of level `warning` and above, and 100 below."""
    worker = _single(gateway, name)
    found = await gateway.fleet.orders.log(worker, limit_s)
    chosen = [_event_view(event) for event in found if level.includes(event.level)]
    return WorkerLog(worker=worker.id, events=chosen)


def _found(gateway: Gateway, name: str) -> list[WorkerRecord]:
    gateway.queue.require()
    return workers_named(gateway.fleet.now.workers, name)


def _single(gateway: Gateway, name: str) -> WorkerRecord:
    found = _found(gateway, name)
    if len(found) > 1:
        raise InvalidStateError(
            f"{name} has {len(found)} workers: name one of them, such as {found[0].name}."
        )
    return found[0]


def _event_view(event: LogEvent) -> LogEventView:
    return LogEventView(**msgspec.structs.asdict(event))


def _ordered(order: str, workers: Sequence[WorkerRecord], caller: Principal) -> OrderedWorkers:
    ids = [worker.id for worker in workers]
    log.info("workers_ordered", order=order, workers=ids, by=caller.name)
    return OrderedWorkers(workers=ids)
