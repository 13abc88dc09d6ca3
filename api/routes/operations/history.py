"""The service as a whole: what all gateways and workers did in the last hour."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.http.errors import of_errors
from api.online.history import read_history
from api.routes.dependencies import GatewayState
from shared import keys
from shared.history import SLOT_S, Count, SlotCounts, together
from shared.keys import ModelKey

router = APIRouter(tags=["operations"])


class Series(BaseModel):
    """Of each slot, oldest first; the newest is still being filled."""

    requests: list[int] = Field(description="Answered on the online lane")
    rows: list[int] = Field(description="In those requests")
    errors: list[int] = Field(description="Requests that were answered with 5xx")
    job_rows: list[int] = Field(description="Rows of jobs that were done")
    p50_ms: list[float | None] = Field(description="Median time that a request took in the gateway")
    p99_ms: list[float | None] = Field(description="What 99 % of requests did not exceed")


class History(BaseModel):
    """What all gateways and workers did in the last hour."""

    slot_s: int = Field(description="How long a slot is")
    slots: list[datetime] = Field(description="The start of each, oldest first")
    now: datetime = Field(description="By the queue's clock: how far the newest slot has been filled")
    total: Series
    models: dict[str, Series] = Field(description="By `{model}@{version}`, of those that did anything")


@router.get("/history", responses=of_errors(422, 503))
async def history(
    gateway: GatewayState,
    model: Annotated[str | None, Query(description="Of one model alone, in all its versions")] = None,
) -> History:
    """Throughput and latency of the last hour, of all gateways and workers together."""
    gateway.queue.require()
    now_s, slots = await read_history(gateway.client)
    asked = [_of_model(slot, model) for slot in slots.values()]
    present = sorted({key for slot in asked for key in slot})
    return History(
        slot_s=SLOT_S,
        slots=[datetime.fromtimestamp(start, UTC) for start in slots],
        now=datetime.fromtimestamp(now_s, UTC),
        total=_series([together(list(slot.values())) for slot in asked]),
        models={key: _series([slot.get(key, SlotCounts()) for slot in asked]) for key in present},
    )


def _of_model(slot: Mapping[ModelKey, SlotCounts], model: str | None) -> dict[ModelKey, SlotCounts]:
    return {key: counts for key, counts in slot.items() if model in (None, keys.split_model_key(key)[0])}


def _series(slots: list[SlotCounts]) -> Series:
    return Series(
        requests=[slot.counts[Count.REQUESTS] for slot in slots],
        rows=[slot.counts[Count.ROWS] for slot in slots],
        errors=[slot.counts[Count.ERRORS] for slot in slots],
        job_rows=[slot.counts[Count.JOB_ROWS] for slot in slots],
        p50_ms=[_rounded(slot.latency_ms(0.5)) for slot in slots],
        p99_ms=[_rounded(slot.latency_ms(0.99)) for slot in slots],
    )


def _rounded(ms: float | None) -> float | None:
    return None if ms is None else round(ms, 2)
