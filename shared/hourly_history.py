"""Counts of the last 30 days by hour, over all gateways and workers, in bounded memory.

A hash per hour of Redis' clock has a few numbers per model version: ended jobs, their rows and durations, and
online requests, their errors and latencies in coarse buckets. `turns.lua` counts jobs as it ends them, so
that each counts once; gateways add their requests (`shared/history.py`). 720 hashes of about 20 numbers per
active model version are about 300 KB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from shared import keys
from shared.history import BOUNDS_MS, Count
from shared.keys import ModelKey

HOUR_S = 3600
HOURS = 30 * 24
KEPT_S = (HOURS + 24) * HOUR_S
COARSE = 2
"""So many buckets of `shared/history.py` are one here."""
_REQUESTS = frozenset((Count.REQUESTS, Count.ERRORS))


def hour_of(now_s: float) -> int:
    """The start of the current hour, in s of Redis' clock."""
    return int(now_s) // HOUR_S * HOUR_S


def hours_until(now_s: float, hours: int = HOURS) -> range:
    """The starts of the latest hours; the last is still being filled."""
    last = hour_of(now_s)
    return range(last - (hours - 1) * HOUR_S, last + HOUR_S, HOUR_S)


def add_requests(pipeline: Any, now_s: float, counts: Mapping[str, int]) -> None:
    """Queue the commands that add a gateway's counts, by field of the slot history.

    `pipeline`: any of redis-py (Any).
    """
    coarse: Counter[str] = Counter()
    for name, number in counts.items():
        key, _, count = name.rpartition("|")
        if count in _REQUESTS:
            coarse[name] += number
        elif count.startswith("ms"):
            coarse[f"{key}|ms{int(count[2:]) // COARSE}"] += number
    if not coarse:
        return
    hour = keys.hour(str(hour_of(now_s)))
    for name, number in coarse.items():
        pipeline.hincrby(hour, name, number)
    pipeline.expire(hour, KEPT_S)


@dataclass
class HourCounts:
    """The counts of a model version in an hour."""

    numbers: Counter[str] = field(default_factory=Counter)
    """`jobs_succeeded`, `jobs_failed`, `jobs_canceled`, `rows`, `longest_ms`, `requests`, `errors`."""
    took: Counter[int] = field(default_factory=Counter)
    """Succeeded jobs by bucket of their duration: from √2^n s to √2^(n+1) s."""
    latencies: Counter[int] = field(default_factory=Counter)

    def add(self, name: str, number: int) -> None:
        for prefix, counts in (("took", self.took), ("ms", self.latencies)):
            bucket = name.removeprefix(prefix)
            if bucket != name and bucket.lstrip("-").isdigit():
                counts[int(bucket)] += number
                return
        self.numbers[name] += number

    @property
    def median_s(self) -> float | None:
        """The median duration of succeeded jobs, within its bucket's middle; None without any."""
        bucket = _quantile(self.took, 0.5)
        return None if bucket is None else 2 ** (bucket / 2 + 0.25)

    @property
    def p99_ms(self) -> float | None:
        """The upper bound of the bucket with the 99th percentile of requests; None without any."""
        bucket = _quantile(self.latencies, 0.99)
        if bucket is None:
            return None
        return BOUNDS_MS[min(bucket * COARSE + COARSE - 1, len(BOUNDS_MS) - 1)]


def _quantile(buckets: Mapping[int, int], share: float) -> int | None:
    """The bucket that contains the quantile."""
    ordered = sorted(buckets)
    wanted = share * sum(buckets.values())
    up_to = accumulate(buckets[bucket] for bucket in ordered)
    return next((bucket for bucket, count in zip(ordered, up_to, strict=True) if count >= wanted), None)


def read_hour(fields: Mapping[bytes, bytes]) -> dict[ModelKey, HourCounts]:
    """An hour's hash by model version; unreadable fields are ignored."""
    found: dict[ModelKey, HourCounts] = {}
    for name, number in fields.items():
        key, bar, count = name.decode(errors="replace").rpartition("|")
        if bar and number.isdigit():
            found.setdefault(ModelKey(key), HourCounts()).add(count, int(number))
    return found


def merged_hours(of_models: Iterable[HourCounts]) -> HourCounts:
    """The sum over model versions; the longest job is the longest of all."""
    merged = HourCounts()
    for one in of_models:
        longest_ms = max(merged.numbers["longest_ms"], one.numbers["longest_ms"])
        merged.numbers.update(one.numbers)
        merged.numbers["longest_ms"] = longest_ms
        merged.took.update(one.took)
        merged.latencies.update(one.latencies)
    return merged
