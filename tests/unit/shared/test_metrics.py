"""Metrics: declarations, counting of values, and the reference in docs/."""

from __future__ import annotations

import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from shared.metrics import cluster_metrics as cluster
from shared.metrics import gateway_metrics as gateway
from shared.metrics import worker_metrics as worker
from shared.metrics.distribution import Distribution
from shared.metrics.exposition import Labelled, Readings, merged, text_of
from shared.metrics.metric import Metric, MetricKind, counter, gauge, histogram
from tests.support.documents import ROOT
from tests.support.scrapes import Scrape
from tools.metrics_page import page

OWN: tuple[Metric, ...] = tuple(dict.fromkeys(gateway.METRICS + worker.METRICS + cluster.METRICS))
LABELS = {
    "model",
    "version",
    "lane",
    "stage",
    "reason",
    "outcome",
    "state",
    "method",
    "route",
    "status",
    "code",
} | {"release", "supervisor"}
TOOK = histogram("took_seconds", "How long it took.", "model", bounds=(0.1, 1.0))


# -- the declarations --------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", OWN, ids=lambda metric: metric.name)
def test_a_name_is_as_prometheus_wants_it(metric: Metric) -> None:
    assert re.fullmatch(r"takt_[a-z_]+[a-z]", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is MetricKind.COUNTER)
    assert not metric.name.endswith(("_ms", "_milliseconds", "_kb", "_mib", "_count", "_sum", "_bucket"))
    assert "duration" not in metric.name or metric.name.endswith("_seconds")
    assert metric.about.endswith(".")


@pytest.mark.parametrize("metric", OWN, ids=lambda metric: metric.name)
def test_no_label_has_endlessly_many_values(metric: Metric) -> None:
    assert set(metric.labels) <= LABELS


def test_what_is_true_of_the_whole_is_told_by_no_single_gateway_or_worker() -> None:
    assert not {*cluster.METRICS} & {*gateway.METRICS, *worker.METRICS}


def test_the_buckets_of_a_histogram_rise() -> None:
    histograms = [metric for metric in OWN if metric.kind is MetricKind.HISTOGRAM]
    assert histograms
    assert all(list(metric.bounds) == sorted(set(metric.bounds)) != [] for metric in histograms)


def test_the_page_in_docs_is_generated_from_the_code() -> None:
    kept = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert kept == page(), "python -m tools.metrics_page > docs/metrics.md"


# -- counting ----------------------------------------------------------------------------------------------


def test_a_value_at_a_bound_is_at_most_that_bound() -> None:
    took = Distribution(TOOK)
    for seconds in (0.05, 0.1, 0.5, 1.0, 7.0):
        took.add(seconds)
    assert list(took.cumulative()) == [2, 4, 5]
    assert (took.count, took.most) == (5, 7.0)
    assert took.mean == pytest.approx(1.73)


def test_values_in_ms_are_told_in_seconds() -> None:
    took = Distribution(TOOK, per_unit=1000)
    took.add(100.0)
    took.add(900.0)
    assert list(took.cumulative()) == [1, 2, 2]
    assert took.sum_units == 1.0


def test_nothing_counted_has_a_mean_of_nothing() -> None:
    assert Distribution(TOOK).mean == 0.0


# -- the text ----------------------------------------------------------------------------------------------


def test_a_histogram_is_told_by_bucket_sum_and_count() -> None:
    took = Distribution(TOOK)
    took.add(0.5)
    text, media_type = text_of(Readings(lambda: [(TOOK, {("iris",): took})]), "")
    told = Scrape(text.decode())
    assert media_type.startswith("text/plain")
    assert [told.value("took_seconds_bucket", model="iris", le=le) for le in ("0.1", "1.0", "+Inf")] == [
        0,
        1,
        1,
    ]
    assert told.value("took_seconds_sum", model="iris") == 0.5
    assert told.of(TOOK, model="iris") == 1


def test_openmetrics_is_spoken_where_it_is_asked_for() -> None:
    readings = Readings(lambda: [(counter("things_total", "Things."), {(): 3.0})])
    text, media_type = text_of(readings, "application/openmetrics-text; version=1.0.0")
    assert media_type.startswith("application/openmetrics-text")
    assert text.decode().splitlines()[-2:] == ["things_total 3.0", "# EOF"]


def test_what_has_no_value_yet_is_named_all_the_same() -> None:
    text, _ = text_of(Readings(lambda: [(gauge("level", "A level.", "model"), {})]), "")
    assert text.decode() == "# HELP level A level.\n# TYPE level gauge\n"


def process(number: int, things: float, accept: str = "") -> bytes:
    took = Distribution(TOOK)
    took.add(0.5)
    readings = Readings(
        lambda: [(counter("things_total", "All\nthings."), {(): things}), (TOOK, {("iris",): took})]
    )
    return text_of(Labelled(readings, "process", str(number)), accept)[0]


def test_the_texts_of_several_processes_become_one_in_which_each_family_occurs_once() -> None:
    text = merged([process(0, 3.0), process(1, 4.0)]).decode()
    told = Scrape(text)
    assert [told.value("things_total", process=number) for number in "01"] == [3.0, 4.0]
    assert [told.of(TOOK, process=number, model="iris") for number in "01"] == [1, 1]
    assert text.count("# TYPE things_total counter\n") == 1
    samples = [line for line in text.splitlines() if line.startswith("things_total")]
    assert text.index(samples[1]) == text.index(samples[0]) + len(samples[0]) + 1


def test_merged_openmetrics_ends_once() -> None:
    text = merged(process(number, 1.0, "application/openmetrics-text; version=1.0.0") for number in (0, 1))
    families = list(openmetrics(text.decode()))  # type: ignore[no-untyped-call]  # it has no types
    assert {family.name: len(family.samples) for family in families} == {"things": 2, "took_seconds": 10}


def test_a_family_without_samples_in_the_first_process_has_those_of_the_second() -> None:
    level = gauge("level", "A level.", "model")
    empty, _ = text_of(Readings(lambda: [(level, {})]), "")
    full, _ = text_of(Readings(lambda: [(level, {("iris",): 1.0})]), "")
    assert merged([empty, full]) == merged([full, empty]) == full
