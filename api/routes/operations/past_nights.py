"""`GET /history/hours`: jobs and requests of the last 30 days by hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.gateway import GatewayState
from api.http.error_answers import of_errors
from shared import keys
from shared.hourly_history import HourCounts, hours_until, merged_hours, read_hour

router = APIRouter(tags=["operations"])


class HourlySeries(BaseModel):
    """A value per hour, oldest first. The newest hour is still being filled."""

    jobs_succeeded: list[int]
    jobs_failed: list[int]
    jobs_canceled: list[int]
    rows: list[int] = Field(description="Rows of the jobs that ended")
    median_s: list[float | None] = Field(
        description="Median time from submission to end of succeeded jobs, approximately"
    )
    longest_s: list[float | None] = Field(description="Longest such time")
    requests: list[int] = Field(description="Online requests answered")
    errors: list[int] = Field(description="Requests answered with 5xx")
    p99_ms: list[float | None] = Field(
        description="Upper bound of the 99th percentile of a request's duration"
    )


class HourlyHistory(BaseModel):
    """Jobs and requests of the last days, over all gateways and workers."""

    hours: list[datetime] = Field(description="Start of each hour, oldest first")
    total: HourlySeries
    models: dict[str, HourlySeries] = Field(
        description="By `{model}@{version}`, for models with any activity"
    )


@router.get("/history/hours", responses=of_errors(422, 503))
async def hourly_history(
    gateway: GatewayState,
    model: Annotated[str | None, Query(description="Only this model, in all its versions")] = None,
    days: Annotated[int, Query(ge=1, le=30, description="Days until now")] = 30,
) -> HourlyHistory:
    """Jobs and online requests by hour: did last night's jobs run, and did they take longer than usual?"""
    gateway.queue.require()
    seconds, _ = await gateway.client.time()
    starts = hours_until(seconds, days * 24)
    pipeline = gateway.client.pipeline(transaction=False)
    for start in starts:
        pipeline.hgetall(keys.hour(str(start)))
    hours = [
        {key: counts for key, counts in read_hour(fields).items() if _is_asked(key, model)}
        for fields in await pipeline.execute()
    ]
    present = sorted({key for hour in hours for key in hour})
    return HourlyHistory(
        hours=[datetime.fromtimestamp(start, UTC) for start in starts],
        total=_series([merged_hours(hour.values()) for hour in hours]),
        models={key: _series([hour.get(key, HourCounts()) for hour in hours]) for key in present},
    )


def _is_asked(key: str, model: str | None) -> bool:
    return model in (None, keys.split_model_key(key)[0])


def _series(hours: Sequence[HourCounts]) -> HourlySeries:
    numbers: Sequence[Counter[str]] = [hour.numbers for hour in hours]
    return HourlySeries(
        jobs_succeeded=[number["jobs_succeeded"] for number in numbers],
        jobs_failed=[number["jobs_failed"] for number in numbers],
        jobs_canceled=[number["jobs_canceled"] for number in numbers],
        rows=[number["rows"] for number in numbers],
        median_s=[_rounded(hour.median_s) for hour in hours],
        longest_s=[_rounded(number["longest_ms"] / 1000 or None) for number in numbers],
        requests=[number["requests"] for number in numbers],
        errors=[number["errors"] for number in numbers],
        p99_ms=[_rounded(hour.p99_ms) for hour in hours],
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
