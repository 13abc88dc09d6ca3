"""Throughput and latency of the last hour, over all gateways and workers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.gateway import GatewayState
from api.http.error_answers import of_errors
from api.online.history_writer import read_history
from shared import keys
from shared.history import SLOT_S, Count, SlotCounts, together
from shared.keys import ModelKey

router = APIRouter(tags=["operations"])


class Series(BaseModel):
    """A value per slot, oldest first. The newest slot is still being filled."""

    requests: list[int] = Field(description="Online requests answered")
    rows: list[int] = Field(description="Rows of these requests")
    errors: list[int] = Field(description="Requests answered with 5xx")
    job_rows: list[int] = Field(description="Rows of jobs processed")
    p50_ms: list[float | None] = Field(description="Median duration of a request in the gateway")
    p99_ms: list[float | None] = Field(description="99th percentile of the duration")


class History(BaseModel):
    """Throughput and latency of the last hour, over all gateways and workers."""

    slot_s: int = Field(description="Length of a slot in seconds")
    slots: list[datetime] = Field(description="Start of each slot, oldest first")
    now: datetime = Field(description="Time on the clock of Redis; the newest slot is filled up to it")
    total: Series
    models: dict[str, Series] = Field(description="By `{model}@{version}`, for models with any activity")


@router.get("/history", responses=of_errors(422, 503))
async def history(
    gateway: GatewayState,
    model: Annotated[str | None, Query(description="Only this model, in all its versions")] = None,
) -> History:
    """Throughput and latency of the last hour, over all gateways and workers."""
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
