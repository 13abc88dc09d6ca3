"""The report of two checkouts side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.checkouts import main
from bench.checkouts_report import HERE, OTHER, CheckoutResults, CheckoutRound, checkouts_report
from bench.processes import REST
from bench.results import Machine

MACHINE = Machine(2, "a processor", "Linux", 0.1, {"Python": "3.11"})


def _round(number: int, checkout: str, gateway_s: float, per_s: float) -> CheckoutRound:
    cpu_s = {"gateway": gateway_s, "worker": 0.1, REST: 0.05}
    return CheckoutRound(number, "64 connections", checkout, 1000, per_s, cpu_s)


RESULTS = CheckoutResults(
    command="python -m bench.checkouts ../before",
    began_at="2026-12-01T08:00:00+00:00",
    took_s=60.0,
    machine=MACHINE,
    other="197a456",
    here="93bc778+",
    model="iris",
    rounds=(
        _round(0, OTHER, 0.2, 1000.0),
        _round(0, HERE, 0.1, 1500.0),
        _round(1, HERE, 0.2, 2000.0),
        _round(1, OTHER, 0.4, 1000.0),
    ),
)


def _line(figure: str) -> list[str]:
    [line] = [line for line in checkouts_report(RESULTS).splitlines() if f" {figure} |" in line]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_cpu_time_is_by_part_a_request_with_the_ratio_of_each_round() -> None:
    assert _line("CPU µs, gateway")[2:] == ["300 (200-400)", "150 (100-200)", "0.50"]


def test_the_whole_stack_contains_processes_outside_the_named_parts() -> None:
    assert _line("CPU µs, whole stack")[2:] == ["450 (350-550)", "300 (250-350)", "0.68 (0.64-0.71)"]
    assert REST not in checkouts_report(RESULTS)


def test_the_rate_is_compared_by_round() -> None:
    assert _line("a second")[2:] == ["1,000", "1,750 (1,500-2,000)", "1.75 (1.50-2.00)"]


def test_a_folder_that_is_not_set_up_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert "run `make setup models` there" in capsys.readouterr().err
