"""`python -m tools.metrics_page > docs/metrics.md`: the reference of all metrics, made of the code."""

from __future__ import annotations

from collections.abc import Iterable

from shared.metrics import cluster, gateway, worker
from shared.metrics.metric import PROCESS, Metric

_HEAD = """# Metrics

What Prometheus can scrape. Names and units follow its practice: seconds and bytes, `_total` for what only
grows. A histogram `name` is stored as `name_bucket`, `name_sum` and `name_count`. No label is made of a
request, a job or a client.

This page is made by `python -m tools.metrics_page > docs/metrics.md`, and a test keeps it true.
"""
_COLUMNS = "\n| metric | kind | labels | what |\n|---|---|---|---|\n"
_SECTIONS = (
    ("Of each gateway, at `GET /metrics`", gateway.METRICS),
    ("Of each worker, at `/metrics` of `TAKT_WORKER_METRICS_PORT`", worker.METRICS),
    ("Of the whole, at `GET /metrics/cluster` of any gateway", cluster.METRICS),
    ("Of each process, gateway or worker", PROCESS),
)


def page() -> str:
    return _HEAD + "".join(_section(title, metrics) for title, metrics in _SECTIONS)


def _section(title: str, metrics: Iterable[Metric]) -> str:
    return f"\n## {title}\n{_COLUMNS}" + "".join(map(_row, metrics))


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.about} |\n"


if __name__ == "__main__":
    print(page(), end="")
