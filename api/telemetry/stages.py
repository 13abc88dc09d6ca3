"""Stages of a request, with the same names in headers, metrics, traces and benchmarks.

validate    JSON → rows, including parsing: a single pass does both
encode      rows → columns on the wire
queue       from the stream's XADD until the engine read the entry
batch       forming the batch
predict     the call of the model
reply       the rest: both ways through Redis, and the wait for this gateway's event loop
serialize   columns → JSON
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.history import BOUNDS_MS, latency_bucket
from shared.metrics.distribution import Distribution
from shared.metrics.gateway_metrics import REQUEST_BATCH_ROWS, REQUEST_ROWS, STAGE_DURATION

STAGES = ("validate", "encode", "queue", "batch", "predict", "reply", "serialize")


def _in_ms() -> dict[str, Distribution]:
    return {stage: Distribution(STAGE_DURATION, per_unit=1000) for stage in STAGES}


@dataclass
class StageTimes:
    """Times and sizes of successful requests for a model version, since this gateway started."""

    stages_ms: dict[str, Distribution] = field(default_factory=_in_ms)
    request_rows: Distribution = field(default_factory=lambda: Distribution(REQUEST_ROWS))
    batch_rows: Distribution = field(default_factory=lambda: Distribution(REQUEST_BATCH_ROWS))
    latencies: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    """Requests by the sum of all stages, in the buckets of `shared/history.py`."""
    last_at_s: float | None = None
    """End of the last request by `perf_counter`; None: no request yet."""

    def add(self, times_ms: dict[str, float], rows: int, batch_rows: int, ended_s: float) -> None:
        """`ended_s`: by `perf_counter`."""
        self.last_at_s = ended_s
        for stage, ms in times_ms.items():
            self.stages_ms[stage].add(ms)
        self.latencies[latency_bucket(sum(times_ms.values()))] += 1
        self.request_rows.add(rows)
        self.batch_rows.add(batch_rows)

    def summary(self) -> dict[str, object]:
        return {
            "requests": self.request_rows.count,
            "stages_ms": {stage: _summary(times) for stage, times in self.stages_ms.items()},
            "request_rows": _summary(self.request_rows),
            "batch_rows": _summary(self.batch_rows),
        }


def _summary(values: Distribution) -> dict[str, float]:
    return {"count": values.count, "mean": round(values.mean, 3), "max": round(values.most, 3)}
