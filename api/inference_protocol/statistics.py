"""Statistics of a model version in Triton's form, as this gateway has measured since its start.

success        successful requests, and the time of all their stages
fail           requests that ended with an error; their time is not measured
queue          from the stream's XADD until the engine read the request
compute_input  validate, encode, and forming the batch
compute_infer  the call of the model
compute_output reply and serialize
"""

from __future__ import annotations

import time

from pydantic import BaseModel, Field

from api.models.catalog import Servable
from api.telemetry.stages import STAGES, StageTimes

_NS_PER_MS = 1_000_000


class Duration(BaseModel):
    count: int = 0
    ns: int = 0


class InferStatistics(BaseModel):
    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration = Field(Duration(), description="Takt has no cache of answers")
    cache_miss: Duration = Duration()


class ModelStatistics(BaseModel):
    name: str
    version: str
    last_inference: int = Field(description="Time of the last successful request, in ms since 1970; 0: none")
    inference_count: int = Field(description="Rows of successful requests")
    execution_count: int = Field(description="Successful requests: the gateway does not count model calls")
    inference_stats: InferStatistics
    batch_stats: list[object] = Field([], description="Empty: see the workers' metrics")
    memory_usage: list[object] = []
    response_stats: dict[str, object] = {}


def statistics_of(servable: Servable) -> ModelStatistics:
    times, failed = servable.times, servable.counters.failed.total()
    return ModelStatistics(
        name=servable.spec.name,
        version=servable.version,
        last_inference=_last_ms(times),
        inference_count=round(times.request_rows.total),
        execution_count=times.request_rows.count,
        inference_stats=InferStatistics(
            success=_duration(times, *STAGES),
            fail=Duration(count=failed),
            queue=_duration(times, "queue"),
            compute_input=_duration(times, "validate", "encode", "batch"),
            compute_infer=_duration(times, "predict"),
            compute_output=_duration(times, "reply", "serialize"),
        ),
    )


def _duration(times: StageTimes, *stages: str) -> Duration:
    total_ms = sum(times.stages_ms[stage].total for stage in stages)
    return Duration(count=times.request_rows.count, ns=round(total_ms * _NS_PER_MS))


def _last_ms(times: StageTimes) -> int:
    if times.last_at_s is None:
        return 0
    return round((time.time() - (time.perf_counter() - times.last_at_s)) * 1000)
