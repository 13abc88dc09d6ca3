"""Declarations of metrics: name, kind, labels, meaning.

Names and units follow Prometheus' practice: seconds and bytes, `_total` for counters
(https://prometheus.io/docs/practices/naming/).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MODEL, VERSION, LANE, STAGE = "model", "version", "lane", "stage"
REASON, OUTCOME, STATE, CODE = "reason", "outcome", "state", "code"
SUPERVISOR = "supervisor"
PROCESS_SLOT = "process"
"""Labels have few values. Ids of requests and jobs are never labels."""

ONLINE, OFFLINE = "online", "offline"
"""The values of `lane`."""

DURATIONS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SHORT_DURATIONS_S = (0.00005, 0.0001, 0.00025, 0.0005, *DURATIONS_S[:13])
"""Bounds for durations below a millisecond, such as a stage."""
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16384.0)


class MetricKind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """A metric. A histogram stores its samples as `_bucket`, `_sum` and `_count`."""

    kind: MetricKind
    name: str
    about: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()  # upper bounds of a histogram's buckets, without +Inf

    @property
    def series(self) -> frozenset[str]:
        """The names of the stored series."""
        if self.kind is not MetricKind.HISTOGRAM:
            return frozenset([self.name])
        return frozenset(f"{self.name}_{suffix}" for suffix in ("bucket", "sum", "count"))


def counter(name: str, about: str, *labels: str) -> Metric:
    return Metric(MetricKind.COUNTER, name, about, labels)


def gauge(name: str, about: str, *labels: str) -> Metric:
    return Metric(MetricKind.GAUGE, name, about, labels)


def histogram(name: str, about: str, *labels: str, bounds: tuple[float, ...]) -> Metric:
    return Metric(MetricKind.HISTOGRAM, name, about, labels, bounds)


BUILD = gauge("takt_build_info", "1; the label is the version of the program.", "release")

PROCESS: tuple[Metric, ...] = (
    gauge("process_resident_memory_bytes", "Resident memory."),
    gauge("process_virtual_memory_bytes", "Virtual memory."),
    gauge("process_start_time_seconds", "Start time, in seconds since 1970."),
    counter("process_cpu_seconds_total", "Used processor time."),
    gauge("process_open_fds", "Open file descriptors."),
    gauge("process_max_fds", "Limit of open file descriptors."),
)
"""Process metrics of prometheus_client, on Linux."""
