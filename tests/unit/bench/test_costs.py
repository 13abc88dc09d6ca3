"""The cost of a request and of a row in each part."""

from __future__ import annotations

import msgspec

from bench.costs_report import Cost, CostResults, costs_report, in_proportion
from bench.results import Machine
from bench.stored_runs import decoded, reported


def cost(number: int, work: str, count: int, gateway_s: float) -> Cost:
    """A worker's second is half of the gateway's, the queue's a tenth."""
    cpu_s = {"gateway": gateway_s, "worker": gateway_s / 2, "queue": gateway_s / 10, "rest": 0.0}
    return Cost(
        number, work, count, 2.0, cpu_s, {"queue": 500 * count, "worker": 24 * count}, 250 * count, count
    )


RESULTS = CostResults(
    command="python -m bench.costs",
    began_at="2026-01-02T03:04:05+00:00",
    took_s=60.0,
    machine=Machine(2, "a processor", "Linux 6", 0.5, {"Python": "3.11"}),
    model="iris",
    rounds=2,
    idle_cores={},
    requests=(cost(0, "64 connections", 1000, 1.0), cost(1, "64 connections", 1000, 3.0)),
    rows=(cost(0, "arrow", 1_000_000, 2.0),),
)  # fmt: skip


def line(text: str, work: str) -> list[str]:
    [found] = [row for row in text.splitlines() if row.startswith("|") and f" {work} " in row]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_what_a_part_takes_at_rest_is_no_cost_of_the_work() -> None:
    assert cost(0, "arrow", 1000, 1.0).above({"gateway": 0.25, "queue": 9.0}) == {
        "gateway": 0.5,
        "worker": 0.5,
        "queue": 0.0,
        "rest": 0.0,
    }


def test_requests_are_told_in_ms_each_and_rows_in_seconds_a_million() -> None:
    text = costs_report(RESULTS)
    assert line(text, "64 connections")[1:4] == ["3.2 (1.6-4.8)", "2.0 · 62%", "1.0 · 31%"]
    assert line(text, "arrow")[1:4] == ["3.2", "2.0 · 62%", "1.0 · 31%"]


def test_bytes_are_told_by_request_and_row() -> None:
    assert line(costs_report(RESULTS), "64 connections")[-4:] == ["250", "1.0", "500", "24"]


def test_the_busiest_part_fills_a_core_first() -> None:
    assert (
        in_proportion({"queue": 0.1, "gateway": 1.0, "worker": 0.25})
        == "gateway 1 : worker 0.25 : queue 0.10"
    )


def test_kept_costs_are_reported_as_such() -> None:
    assert reported(decoded(msgspec.json.encode(RESULTS))) == costs_report(RESULTS)
