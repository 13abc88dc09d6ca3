"""Targets and measurements; reports of single-row jobs, and of requests beside a job."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench import targets
from bench.beside_report import BesideResults, BesideRound
from bench.jobs_report import JobsResults, JobsRound
from bench.offline_results import BARE, OfflineResults, Passage
from bench.results import Facts, Machine
from bench.samples import Measured
from bench.stored_runs import BEGIN, END, decoded, reported

FACTS = Facts(
    command="python -m bench",
    began_at="2026-01-02T03:04:05+00:00",
    took_s=60.0,
    machine=Machine(2, "a processor", "Linux 6", 0.5, {"Python": "3.11"}),
)


def measured(p99_ms: float) -> Measured:
    return Measured(100, 0, 50.0, 1.0, 2.0, p99_ms, steady=True)


def jobs(rival: str, rate: float) -> JobsRound:
    return JobsRound(0, rival, 100, rate, 2 * rate, 10.0, 20.0)


JOBS = JobsResults(
    **FACTS, connections=16, rivals=("ray_tasks", "takt"), rounds=(jobs("ray_tasks", 40), jobs("takt", 480))
)
BESIDE = BesideResults(
    **FACTS,
    model="iris",
    runtime="auto",
    job_rows=10_000_000,
    full_per_s=2000.0,
    rate=600.0,
    rounds=(BesideRound(0, measured(5.0), measured(20.0), 300_000.0, 10.0, 2.0, 7.2, 500_000.0),),
)
OFFLINE = OfflineResults(
    **FACTS,
    model="iris",
    rounds=1,
    ways=(BARE, "takt arrow", "mosec"),
    passages=(
        Passage(0, BARE, 1_000_000, 2.0, {}, {}),
        Passage(0, "takt arrow", 1_000_000, 2.5, {}, {}),
        Passage(0, "mosec", 100_000, 1.0, {}, {}),
    ),
    rates=(),
)


def cells(table: str, about: str) -> list[str]:
    """Of the target's line, without its name."""
    line = next(line for line in table.splitlines() if about in line)
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_a_target_is_met_or_missed_by_the_run_that_measured_it() -> None:
    table = targets.targets_table([JOBS, BESIDE, OFFLINE])
    assert cells(table, "÷ Ray's") == ["≥ 10", "12", "1", "met"]
    assert cells(table, "p99 beside a job") == ["≤ 3", "4.0", "1", "**missed**"]
    assert cells(table, "job's engine time ÷ what online leaves ") == ["≥ 0.8", "0.90", "1", "met"]
    assert cells(table, "1,000,000 rows, Arrow, rows/s ÷ in-process")[1:] == ["0.80", "1", "met"]
    assert cells(table, "÷ the best rival's") == ["≥ 4", "4.0", "1", "met"]


def test_a_target_that_no_run_measured_says_so() -> None:
    table = targets.targets_table([JOBS])
    assert cells(table, "LitServe")[-1] == "not measured"
    assert cells(targets.targets_table([OFFLINE]), "10,000,000 rows, Arrow")[-1] == "not measured"


def test_the_table_stands_between_its_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, run = tmp_path / "page.md", tmp_path / "run.json"
    page.write_text(f"before\n{BEGIN.format('targets')}\nold\n{END}\nafter")
    run.write_bytes(msgspec.json.encode(JOBS))
    assert targets.main([str(run), "--into", str(page)]) == 0
    assert "÷ Ray's" in page.read_text()
    assert "old" not in page.read_text()
    run.write_text("{}")
    assert targets.main([str(run)]) == 1
    assert "bench.targets: " in capsys.readouterr().err


def test_jobs_and_requests_beside_a_job_are_reported_as_they_were_kept() -> None:
    shown = reported(decoded(msgspec.json.encode(JOBS)))
    assert "takt | " in shown
    assert " 12 |" in shown
    shown = reported(decoded(msgspec.json.encode(BESIDE)))
    assert "30% of the 2,000" in shown
    assert " 90% |" in shown
    assert " 75% |" in shown
