"""Access to the samples of a scrape."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

from shared.metrics.metric import Metric, MetricKind


class Scrape:
    """The samples of an answer in Prometheus' text format."""

    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        self.names = {family.name + "_total" * (family.type == "counter") for family in families}
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """None if there is no such sample."""
        return self._values.get((name, frozenset(labels.items())))

    def of(self, metric: Metric, **labels: str) -> float | None:
        """A counter's or gauge's value, or a histogram's number of observations."""
        return self.value(
            f"{metric.name}_count" if metric.kind is MetricKind.HISTOGRAM else metric.name, **labels
        )

    @property
    def own_names(self) -> set[str]:
        return {name for name in self.names if name.startswith("takt_")}


def names_of(metrics: Iterable[Metric]) -> set[str]:
    return {metric.name for metric in metrics}
