"""What a load saw, request by request, and what follows from it.

A load writes one line a request, as h2load's --log-file does: the start in µs since the epoch, the HTTP
status (-1: none came), the µs until the end of the response, with tabs between them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NO_ANSWER = -1


@dataclass(frozen=True, slots=True)
class Sample:
    """One request."""

    start_us: int
    status: int
    took_us: int

    @property
    def end_us(self) -> int:
        return self.start_us + self.took_us

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True)
class Measured:
    """One turn, seen from the client. Times are of good answers; None: there was none."""

    good: int
    bad: int  # not 2xx, or no answer at all
    rps: float  # good answers a second
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    steady: bool  # else the times are too short: whoever waits longest is not among them


def parse_log(text: str) -> Iterator[Sample]:
    """The samples of a load's log. A last line that was cut short is left out.

    Raises ValueError where a line is none.
    """
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    for line in lines:
        start_us, status, took_us, *_ = line.split("\t")
        yield Sample(int(start_us), int(status), int(took_us))


def broken_requests(output: str) -> int:
    """Requests that got no answer, by h2load's summary. Raises ValueError where there is no summary."""
    found = re.search(r"^requests: .*?(\d+) errored, (\d+) timeout", output, re.MULTILINE)
    if found is None:
        raise ValueError("the load's output has no line `requests: …`")
    return int(found[1]) + int(found[2])


def measure(
    samples: Sequence[Sample], *, connections: int, warm_up_s: float, seconds: float, broken: int = 0
) -> Measured:
    """What the `seconds` after the warm-up show, counting answers by when they ended; `broken` got none.

    A closed loop is steady once each connection had an answer within the warm-up. Before that, only those who
    were served first have ended.
    """
    begin_us = min((sample.start_us for sample in samples), default=0) + round(warm_up_s * 1e6)
    end_us = begin_us + round(seconds * 1e6)
    answers = [sample for sample in samples if sample.status != NO_ANSWER]
    inside = [sample for sample in answers if begin_us <= sample.end_us < end_us]
    times_ms = sorted(sample.took_us / 1000 for sample in inside if sample.good)
    return Measured(
        good=len(times_ms),
        bad=len(inside) - len(times_ms) + broken,
        rps=len(times_ms) / seconds,
        p50_ms=percentile(times_ms, 50),
        p90_ms=percentile(times_ms, 90),
        p99_ms=percentile(times_ms, 99),
        steady=sum(sample.end_us < begin_us for sample in answers) >= connections,
    )


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """The nearest-rank percentile: a value that was really measured, never one in between."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
