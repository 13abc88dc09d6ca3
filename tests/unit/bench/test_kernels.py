"""The gain of compiling for a call: ratios by round, and no figure for different answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench import kernels
from bench.kernels_report import KernelResults, KernelTimed, kernels_table
from bench.results import Machine
from bench.stored_runs import decoded, reported


def results(*timed: KernelTimed) -> KernelResults:
    machine = Machine(2, "a processor", "a system", 0.0, {})
    return KernelResults(command="-", began_at="-", took_s=1.0, machine=machine, timed=timed)


def timed(number: int, runtime: str, rows: int, ms_a_call: float) -> KernelTimed:
    return KernelTimed(number, "forest", runtime, rows, ms_a_call)


def test_what_is_compiled_is_shown_by_how_many_times_it_is_as_fast_as_the_native_one_of_its_round() -> None:
    shown = kernels_table(
        results(
            *(timed(0, "native", 1, 10.0), timed(0, "walk", 1, 1.0)),
            *(timed(1, "native", 1, 30.0), timed(1, "walk", 1, 2.0)),
            timed(0, "native", 64, 40.0),
        )
    ).splitlines()
    assert [cell.strip() for cell in shown[2].split("|")[1:-1]] == [
        "forest",
        "native",
        "20 (10-30) ms",
        "40 ms",
    ]
    assert [cell.strip() for cell in shown[3].split("|")[1:-1]] == ["", "walk", "12 (10-15) ×", "-"]


def test_a_run_measures_what_it_is_asked_for_and_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kernels.json"
    assert kernels.main(["--models", "ridge", "--sizes", "1,8", "--rounds", "1", "--json", str(kept)]) == 0
    run = decoded(kept.read_bytes())
    assert isinstance(run, KernelResults)
    assert {(one.runtime, one.rows) for one in run.timed} == {
        *(("native", 1), ("native", 8)),
        *(("arrays", 1), ("arrays", 8)),
    }
    assert reported(run) in capsys.readouterr().out
    assert json.loads(kept.read_bytes())["kind"] == "kernels"


def test_what_answers_otherwise_ends_the_run() -> None:
    with pytest.raises(ValueError, match="walk differs from the native runtime for 3 rows"):
        kernels._compare("forest", {"native": np.copy, "walk": lambda rows: rows + 1.0}, np.zeros((3, 2)))


def test_a_model_that_there_is_not_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert kernels.main(["--models", "oak"]) != 0
    assert "unknown model 'oak'" in capsys.readouterr().err
