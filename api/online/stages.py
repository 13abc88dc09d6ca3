"""Where a request's time goes: the same stage names in headers, metrics and benchmarks.

validate    JSON → rows, parsing included: one pass does both
encode      rows → columns on the wire
queue       from the stream's XADD until the engine read the entry
batch       forming the batch
predict     the call of the model
reply       the rest of the way: out, back, and waiting for this gateway's event loop
serialize   columns → JSON
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter

from api.online.pending import Answered
from shared.history import BOUNDS_MS, latency_bucket
from shared.metrics.distribution import Distribution
from shared.metrics.gateway import REQUEST_BATCH_ROWS, REQUEST_ROWS, STAGE_DURATION

STAGES = ("validate", "encode", "queue", "batch", "predict", "reply", "serialize")


_SERVER_TIMING = (
    b"validate;dur=%.3f, encode;dur=%.3f, queue;dur=%.3f, "
    b'batch;desc="rows=%d";dur=%.3f, predict;dur=%.3f, reply;dur=%.3f, serialize;dur=%.3f'
)


class StageClock:
    """Measures one request: `mark` ends the stage that began at the mark before."""

    __slots__ = ("_last_s", "times_ms")

    def __init__(self) -> None:
        self.times_ms: dict[str, float] = {}
        self._last_s = perf_counter()

    def mark(self, stage: str) -> None:
        now_s = perf_counter()
        self.times_ms[stage] = (now_s - self._last_s) * 1000
        self._last_s = now_s

    def mark_answered(self, answered: Answered) -> None:
        """Split the time since the last mark by what the worker measured; the rest is `reply`."""
        self.mark("reply")
        times = self.times_ms
        waited_ms = times.pop("reply")
        times["queue"] = answered.queue_ms
        times["batch"] = answered.batch_ms
        times["predict"] = answered.predict_ms
        elsewhere_ms = answered.queue_ms + answered.batch_ms + answered.predict_ms
        times["reply"] = max(0.0, waited_ms - elsewhere_ms)

    def header(self, batch_rows: int) -> bytes:
        """The value of `Server-Timing` (https://www.w3.org/TR/server-timing/), durations in ms."""
        times = self.times_ms
        return _SERVER_TIMING % (
            times["validate"],
            times["encode"],
            times["queue"],
            batch_rows,
            times["batch"],
            times["predict"],
            times["reply"],
            times["serialize"],
        )


def _in_ms() -> dict[str, Distribution]:
    return {stage: Distribution(STAGE_DURATION, per_unit=1000) for stage in STAGES}


@dataclass
class StageTimes:
    """What this gateway measured of one model version: of requests that succeeded, since it started."""

    stages_ms: dict[str, Distribution] = field(default_factory=_in_ms)
    request_rows: Distribution = field(default_factory=lambda: Distribution(REQUEST_ROWS))
    batch_rows: Distribution = field(default_factory=lambda: Distribution(REQUEST_BATCH_ROWS))
    latencies: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    """Requests by how long all stages took together, see `shared/history.py`."""

    def add(self, times_ms: dict[str, float], rows: int, batch_rows: int) -> None:
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
