"""Conversion of readings to the text that Prometheus scrapes, by prometheus_client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from shared.metrics.distribution import Distribution
from shared.metrics.metric import Metric, MetricKind

Labels: TypeAlias = tuple[str, ...]
"""The values of a metric's labels, in the order of its declaration."""
Samples: TypeAlias = Mapping[Labels, float | Distribution]
Reading: TypeAlias = tuple[Metric, Samples]
"""A metric and its current samples; without samples, only its name and description are exported."""


class Readings(Collector):
    """The readings that `read` returns at each scrape."""

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Family]:
        return (family(metric, samples) for metric, samples in self._read())


def registry_of(read: Callable[[], Iterable[Reading]]) -> CollectorRegistry:
    """A program's own readings, and the system's metrics of its process (`process_…`; on Linux)."""
    registry = CollectorRegistry()
    registry.register(Readings(read))
    ProcessCollector(registry=registry)
    return registry


def text_of(collector: Collector, accept: str) -> tuple[bytes, str]:
    """→ the text, in the format that the Accept header asks for, and its media type."""
    encode, media_type = choose_encoder(accept)
    return encode(collector), media_type


def family(metric: Metric, samples: Samples) -> Family:
    match metric.kind:
        case MetricKind.HISTOGRAM:
            return _histogram(metric, samples)
        case MetricKind.COUNTER:
            found: CounterMetricFamily | GaugeMetricFamily = CounterMetricFamily(
                metric.name, metric.about, labels=metric.labels
            )
        case MetricKind.GAUGE:
            found = GaugeMetricFamily(metric.name, metric.about, labels=metric.labels)
    for labels, value in samples.items():
        assert not isinstance(value, Distribution)
        found.add_metric(labels, value)
    return found


def _histogram(metric: Metric, samples: Samples) -> Family:
    found = HistogramMetricFamily(metric.name, metric.about, labels=metric.labels)
    names = [*map(floatToGoString, metric.bounds), "+Inf"]
    for labels, value in samples.items():
        assert isinstance(value, Distribution)
        buckets = list(zip(names, map(float, value.cumulative()), strict=True))
        found.add_metric(labels, buckets, value.sum_units)
    return found
