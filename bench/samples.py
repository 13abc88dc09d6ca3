"""Logs of loads, and the figures computed from them.

A load writes a line for each request in the format of h2load's --log-file: the start in µs since the epoch,
the HTTP status (-1: no response) and the µs until the end of the response, separated by tabs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NO_ANSWER = -1


@dataclass(frozen=True, slots=True)
class Sample:
    """A request."""

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
    """Client-side figures of a turn. Times are those of good answers; None: no good answer."""

    good: int
    bad: int  # not 2xx, or no answer at all
    rps: float  # good answers a second
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    steady: bool  # if False, the longest waits are missing and times are too short


def parse_log(text: str) -> Iterator[Sample]:
    """Parse a load's log. An incomplete last line is skipped.

    Raises ValueError for an invalid line.
    """
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    for line in lines:
        start_us, status, took_us, *_ = line.split("\t")
        yield Sample(int(start_us), int(status), int(took_us))


def broken_requests(output: str) -> int:
    """Number of unanswered requests in h2load's summary. Raises ValueError without a summary."""
    found = re.search(r"^requests: .*?(\d+) errored, (\d+) timeout", output, re.MULTILINE)
    if found is None:
        raise ValueError("the load's output has no line `requests: …`")
    return int(found[1]) + int(found[2])


def measure(
    samples: Sequence[Sample], *, connections: int, warm_up_s: float, seconds: float, broken: int = 0
) -> Measured:
    """Figures of the `seconds` after the warm-up. Answers count by end time; `broken` requests had none.

    A closed loop is steady after each connection has had an answer within the warm-up. Before that, the ended
    requests are only the fastest.
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
    """The nearest-rank percentile, which is a measured value without interpolation."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
