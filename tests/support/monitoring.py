"""The alert rules and the dashboard in deploy/, and the series in their queries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from shared.metrics import cluster_metrics as cluster
from shared.metrics import gateway_metrics as gateway
from shared.metrics import worker_metrics as worker
from shared.metrics.metric import PROCESS, Metric
from tests.support.documents import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = PROMETHEUS / "takt.rules.yml"
RULE_TESTS = PROMETHEUS / "takt.rules.test.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "takt.json"

_SERIES = re.compile(r"\b(?:takt|process)_[a-z_]+\b")
_SELECTOR = re.compile(r"\b((?:takt|process)_[a-z_]+){([^}]*)}")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|on) \(([^)]*)\)")


def metrics_by_series() -> dict[str, Metric]:
    """Every declared metric, by the names of its stored samples."""
    declared = (*gateway.METRICS, *worker.METRICS, *cluster.METRICS, *PROCESS)
    return {series: metric for metric in declared for series in metric.series}


@dataclass(frozen=True)
class Query:
    """A PromQL expression and its source."""

    caller: str
    text: str

    @property
    def series(self) -> set[str]:
        return set(_SERIES.findall(self.text))

    @property
    def selectors(self) -> list[tuple[str, set[str]]]:
        """Each series with its label selectors."""
        return [(series, set(_MATCHER.findall(labels))) for series, labels in _SELECTOR.findall(self.text)]

    @property
    def grouped_by(self) -> set[str]:
        return {label.strip() for group in _GROUPING.findall(self.text) for label in group.split(",")} - {""}

    def __str__(self) -> str:
        return self.caller


def alerts() -> list[dict[str, Any]]:
    """The rules as parsed (Any: YAML)."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels, without its rows (Any: JSON)."""
    found = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    """The queries of the rules and of the dashboard."""
    yield from (Query(rule["alert"], rule["expr"]) for rule in alerts())
    for panel in panels():
        yield from (Query(panel["title"], target["expr"]) for target in panel["targets"])


def asked_series() -> set[str]:
    return {series for query in queries() for series in query.series}
