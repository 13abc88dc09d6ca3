"""Conversion of readings to the text that Prometheus scrapes, by prometheus_client."""

from __future__ import annotations

import re
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


class Labelled(Collector):
    """The families of a collector, with another label on every sample."""

    def __init__(self, collector: Collector, name: str, value: str) -> None:
        self._collector = collector
        self._label = {name: value}

    def collect(self) -> Iterator[Family]:
        for found in self._collector.collect():
            found.samples = [sample._replace(labels=self._label | sample.labels) for sample in found.samples]
            yield found


def text_of(collector: Collector, accept: str) -> tuple[bytes, str]:
    """→ the text, in the format that the Accept header asks for, and its media type."""
    encode, media_type = choose_encoder(accept)
    return encode(collector), media_type


_HEAD = re.compile(rb"(?m)^(?=# HELP )")
_END = b"# EOF\n"


def merged(texts: Iterable[bytes]) -> bytes:
    """One text of several in the same format, whose samples differ in a label. Each family occurs once."""
    families: dict[bytes, list[bytes]] = {}
    closing = b""
    for text in texts:
        closing = _END if text.endswith(_END) else closing
        for block in _HEAD.split(text.removesuffix(_END)):
            if block:
                lines = block.splitlines(keepends=True)
                name = lines[0].split(b" ", 3)[2]
                known = families.setdefault(name, [])
                known += [line for line in lines if not known or not line.startswith(b"#")]
    return b"".join([*(line for lines in families.values() for line in lines), closing])


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
