"""The stage clock of a request."""

from __future__ import annotations

from time import perf_counter

from api.online.inflight import Answered

_SERVER_TIMING = (
    b"validate;dur=%.3f, encode;dur=%.3f, queue;dur=%.3f, "
    b'batch;desc="rows=%d";dur=%.3f, predict;dur=%.3f, reply;dur=%.3f, serialize;dur=%.3f'
)


class StageClock:
    """Measures the stages of a request: `mark` ends the stage that began at the previous mark."""

    __slots__ = ("last_s", "times_ms")

    def __init__(self) -> None:
        self.times_ms: dict[str, float] = {}
        self.last_s = perf_counter()

    def mark(self, stage: str) -> None:
        now_s = perf_counter()
        self.times_ms[stage] = (now_s - self.last_s) * 1000
        self.last_s = now_s

    def mark_answered(self, answered: Answered) -> None:
        """Split the time since the last mark into the worker's times and the rest, `reply`."""
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
