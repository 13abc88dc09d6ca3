"""Alerts and the dashboard query only exported metrics; each alert has a test."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.support.monitoring import (
    DASHBOARD,
    PROMETHEUS,
    RULE_TESTS,
    Query,
    alerts,
    metrics_by_series,
    panels,
    queries,
)
from tools.dashboard import WIDTH, page

METRICS = metrics_by_series()
OF_EVERY_TARGET = {"job", "instance", "le"}


@pytest.mark.parametrize("query", list(queries()), ids=str)
def test_a_query_asks_only_for_metrics_that_are_declared(query: Query) -> None:
    assert query.series <= METRICS.keys()
    assert query.series or query.text.startswith("up{")


@pytest.mark.parametrize("query", list(queries()), ids=str)
def test_a_query_chooses_and_groups_only_by_labels_that_its_metrics_have(query: Query) -> None:
    for series, labels in query.selectors:
        assert labels <= {*METRICS[series].labels} | OF_EVERY_TARGET
    for series in query.series:
        assert query.grouped_by <= {*METRICS[series].labels} | OF_EVERY_TARGET


def test_metrics_for_operators_are_on_the_dashboard_or_have_an_alert() -> None:
    asked = {METRICS[series].name for query in queries() for series in query.series}
    never_asked = {metric.name for metric in METRICS.values()} - asked
    details = {
        *(
            "takt_build_info",
            "takt_gateway_uptime_seconds",
            "takt_gateway_queue_open",
            "takt_redis_latency_seconds",
        ),
        *(
            "takt_request_rows",
            "takt_request_batch_rows",
            "takt_accepted_jobs_total",
            "takt_accepted_job_rows_total",
        ),
        *("takt_worker_state", "takt_model_loaded", "takt_model_rows_per_second", "takt_model_ceiling_rows"),
        *(
            "takt_request_parts_total",
            "takt_held_leases",
            "takt_lease_renewals_total",
            "takt_dead_letters_total",
        ),
        *(
            "process_virtual_memory_bytes",
            "process_start_time_seconds",
            "process_open_fds",
            "process_max_fds",
        ),
        *("takt_shadow_sent_rows_total", "takt_shadow_rows_total", "takt_shadow_duration_seconds"),
    }
    assert never_asked == details, (
        "a new metric belongs to a panel, an alert, or the details that one looks up"
    )


# -- the rules ---------------------------------------------------------------------------------------------


def test_an_alert_names_the_problem_and_the_fix() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_every_alert_is_seen_to_fire_and_to_be_silent() -> None:
    tested = {test["name"] for test in yaml.safe_load(RULE_TESTS.read_text(encoding="utf-8"))["tests"]}
    assert tested == {f"{rule['alert']} {how}" for rule in alerts() for how in ("fires", "is silent")}


def test_alerts_speak_of_the_jobs_that_the_scrape_config_names() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    jobs = {scrape["job_name"] for scrape in config["scrape_configs"]}
    assert jobs == {"takt-gateway", "takt-cluster", "takt-worker"}
    spoken_of = {job for query in queries() for job in re.findall(r'\bjob="([^"]+)"', query.text)}
    assert spoken_of <= jobs


# -- the dashboard -----------------------------------------------------------------------------------------


def test_the_committed_dashboard_is_the_generated_dashboard() -> None:
    kept = DASHBOARD.read_text(encoding="utf-8")
    assert kept == page(), "python -m tools.dashboard > deploy/grafana/takt.json"


def test_no_panel_lies_on_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= WIDTH
        assert not cells & taken, panel["title"]
        taken |= cells
