"""Counts of the last hour over all gateways and workers, in bounded memory.

Every few seconds, each process adds its new counts to the hash of the current time slot. A slot is 30 s of
Redis' clock. Its hash lives a little longer than an hour and has a number per count and model version:
about 120 small hashes in all. Counts that are written twice, or lost with a process, affect only the charts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from typing import Any

from shared import keys
from shared.keys import ModelKey

SLOT_S = 30
SPAN_S = 3600
KEPT_S = SPAN_S + 4 * SLOT_S

BOUNDS_MS = (
    *(0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.0, 16.0, 22.0, 32.0, 45.0, 64.0, 90.0),
    *(128.0, 180.0, 256.0, 360.0, 512.0, 725.0, 1024.0, 1450.0, 2048.0, 4096.0, 8192.0, 16384.0, 60000.0),
)
"""Upper bounds of the latency buckets; neighbours differ by about √2 in the usual range."""


class Count(StrEnum):
    """The counts of a model version, in addition to its latencies."""

    REQUESTS = "requests"  # answered on the online lane
    ROWS = "rows"  # in these requests
    PREDICT_US = "predict_us"  # time of the model calls of these requests, in µs
    ERRORS = "errors"  # requests answered with 5xx
    JOB_ROWS = "job_rows"  # of committed chunks, succeeded or failed
    SHED = "shed"  # of the errors: rejected as overloaded
    UNSERVED = "unserved"  # of the errors: rejected because no worker holds the model
    FAILED = "failed"  # of the errors: failures after admission
    ATTEMPTS = "attempts"  # claimed chunks
    RETRIES = "retries"  # of these, with an earlier attempt
    QUARANTINES = "quarantines"  # of these, run in the sandbox


_COUNTS = frozenset(Count)


def latency_bucket(ms: float) -> int:
    """The index of the bucket of this latency; the last bucket is above all bounds."""
    return bisect_left(BOUNDS_MS, ms)


def slot_of(now_s: float) -> int:
    """The start of the current slot, in s of Redis' clock."""
    return int(now_s) // SLOT_S * SLOT_S


def slots_until(now_s: float) -> range:
    """The starts of the slots of the last hour; the last slot is still being filled."""
    last = slot_of(now_s)
    return range(last - SPAN_S + SLOT_S, last + SLOT_S, SLOT_S)


def count_field(key: ModelKey, count: Count) -> str:
    """The field of a count within the hash of a slot."""
    return f"{key}|{count.value}"


def latency_field(key: ModelKey, bucket: int) -> str:
    return f"{key}|ms{bucket}"


def add_to_slot(pipeline: Any, now_s: float, counts: Mapping[str, int]) -> None:
    """Queue the commands that add counts by field to the current slot. `pipeline`: any of redis-py (Any)."""
    if not counts:
        return
    slot = keys.history(slot_of(now_s))
    for name, number in counts.items():
        pipeline.hincrby(slot, name, number)
    pipeline.expire(slot, KEPT_S)


@dataclass
class SlotCounts:
    """The counts of a slot, of a model version or of several."""

    counts: Counter[Count] = field(default_factory=Counter)
    latencies: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))

    def add(self, name: str, number: int) -> None:
        """Add a count by the second part of its field; unknown names are ignored."""
        bucket = name.removeprefix("ms")
        if bucket != name and bucket.isdigit() and int(bucket) < len(self.latencies):
            self.latencies[int(bucket)] += number
        elif name in _COUNTS:
            self.counts[Count(name)] += number

    def latency_ms(self, share: float) -> float | None:
        """The latency that this share of requests did not exceed, approximately; None without requests."""
        return quantile_ms(self.latencies, share)


def quantile_ms(latencies: Sequence[int], share: float) -> float | None:
    """The quantile, interpolated within its bucket like Prometheus' histogram_quantile; None without
    values."""
    total = sum(latencies)
    if not total:
        return None
    wanted = share * total
    up_to = list(accumulate(latencies))
    bucket = next(n for n, count in enumerate(up_to) if count >= wanted)
    if bucket == len(BOUNDS_MS):
        return BOUNDS_MS[-1]
    lower = BOUNDS_MS[bucket - 1] if bucket else 0.0
    within = (wanted - (up_to[bucket] - latencies[bucket])) / latencies[bucket]
    return lower + (BOUNDS_MS[bucket] - lower) * within


def read_slot(fields: Mapping[bytes, bytes]) -> dict[ModelKey, SlotCounts]:
    """A slot's hash by model version; unreadable fields are ignored."""
    found: dict[ModelKey, SlotCounts] = {}
    for name, number in fields.items():
        key, bar, count = name.decode(errors="replace").rpartition("|")
        if bar and number.isdigit():
            found.setdefault(ModelKey(key), SlotCounts()).add(count, int(number))
    return found


def together(slots: Sequence[SlotCounts]) -> SlotCounts:
    """The sum, over model versions or over time."""
    merged = SlotCounts()
    for slot in slots:
        merged.counts.update(slot.counts)
        merged.latencies = [a + b for a, b in zip(merged.latencies, slot.latencies, strict=True)]
    return merged
