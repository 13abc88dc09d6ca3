"""A real Prometheus scrapes a running stack, and answers all that alerts and dashboard ask."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.monitoring import PROMETHEUS, alerts, asked_series, queries
from tests.support.polling import eventually
from tests.support.prometheus import Prometheus, scraping
from tests.support.servers import Server, program
from tests.support.stack import running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.tools]

ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
PREDICTIONS, JOB_ROWS = 5, 300
LIMIT_S = 120.0


@pytest.fixture(scope="module")
def scraped(queue: Server, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A stack that has predicted and run a job, and is scraped."""
    folder = tmp_path_factory.mktemp("scraped")
    with running(queue.url, folder, models="iris", worker_metrics_port="0") as stack:
        stack.gateway()
        stack.worker("worker")
        wait_until_ready(stack)
        with stack.client() as http:
            _work(http)
        with scraping(f"127.0.0.1:{stack.port}", folder) as prometheus:
            eventually(lambda: len(prometheus.query("up == 1")) == 3, limit_s=LIMIT_S, every_s=0.5)
            yield prometheus


def _work(http: httpx.Client) -> None:
    for _ in range(PREDICTIONS):
        http.post("/predict", json=ROW).raise_for_status()
    job = http.post("/jobs", json={"model": "iris", "inputs": [ROW] * JOB_ROWS}).raise_for_status().json()
    eventually(
        lambda: http.get(f"/jobs/{job['id']}").json()["state"] == "succeeded", limit_s=60.0, every_s=0.2
    )


def test_every_metric_of_the_alerts_and_the_dashboard_is_there(scraped: Prometheus) -> None:
    wanted = asked_series()
    assert len(wanted) > 40

    def missing() -> set[str]:
        return {series for series in wanted if not scraped.query(series)}

    eventually(lambda: not missing(), limit_s=LIMIT_S, every_s=1.0)


def test_what_is_scraped_is_what_has_been_done(scraped: Prometheus) -> None:
    done = {
        'takt_requests_total{model="iris", outcome="succeeded"}': PREDICTIONS,
        'takt_stage_duration_seconds_count{model="iris", stage="predict"}': PREDICTIONS,
        'takt_http_request_duration_seconds_count{route="/predict", status="200"}': PREDICTIONS,
        'takt_rows_total{model="iris", lane="online", outcome="succeeded"}': PREDICTIONS,
        'takt_rows_total{model="iris", lane="offline", outcome="succeeded"}': JOB_ROWS,
        'takt_accepted_job_rows_total{model="iris"}': JOB_ROWS,
        'takt_jobs{state="ended"}': 1,
        'takt_model_workers{model="iris"}': 1,
        'takt_workers{state="serving"}': 1,
        'takt_worker_state{state="serving", instance="worker/0"}': 1,
    }

    def found() -> dict[str, float | None]:
        return {query: scraped.value(query) for query in done}

    eventually(lambda: found() == done, limit_s=LIMIT_S, every_s=0.5)


def test_the_rules_are_evaluated_without_an_error(scraped: Prometheus) -> None:
    eventually(lambda: {rule["health"] for rule in scraped.rules()} == {"ok"}, limit_s=LIMIT_S, every_s=0.5)
    assert {rule["name"] for rule in scraped.rules()} == {rule["alert"] for rule in alerts()}


def test_prometheus_understands_every_query_of_the_dashboard(scraped: Prometheus) -> None:
    for query in queries():
        scraped.query(query.text.replace("$model", ".*").replace("$__rate_interval", "1m"))


@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", "takt.rules.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "takt.rules.test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [program("promtool"), *words],
        cwd=PROMETHEUS,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
