"""The stages of a request add up to its time."""

from __future__ import annotations

import msgspec
import pytest

from bench.results import Machine, Stages
from bench.stages_report import StageResults, mean_of, shares_table, stages_report
from bench.stored_runs import decoded, reported


def stages(connections: int, answers: int, whole_ms: float) -> Stages:
    """A quarter of the whole is `queue`, half of it `predict`."""
    parts_ms = {"queue": whole_ms / 4, "predict": whole_ms / 2}
    return Stages("iris", "takt", connections, answers, whole_ms, batch_rows=connections, stages_ms=parts_ms)


ROUNDS = (stages(1, 100, 4.0), stages(64, 10, 40.0), stages(64, 30, 80.0), stages(1, 100, 8.0))


def cells(text: str, row: int) -> list[str]:
    return [cell.strip() for cell in text.splitlines()[row].strip("|").split("|")]


def test_rounds_count_by_their_answers() -> None:
    mean = mean_of(ROUNDS[1:3])
    assert (mean.answers, mean.whole_ms) == (40, 70.0)
    assert mean.rest_ms == pytest.approx(17.5)


def test_every_number_of_connections_is_a_line_whose_stages_and_rest_add_up() -> None:
    shown = shares_table(ROUNDS)
    assert cells(shown, 0)[2:] == ["queue", "predict", "rest", "whole", "rest, by rounds"]
    assert cells(shown, 2) == ["1", "1.0", "1.5 · 25%", "3.0 · 50%", "1.5 · 25%", "6.0", "25%"]
    assert cells(shown, 3)[:2] == ["64", "64"]
    assert len(shown.splitlines()) == 4


def test_a_kept_run_of_stages_is_reported_like_a_new_run() -> None:
    machine = Machine(2, "a processor", "Linux 6", 0.5, {"Python": "3.11"})
    results = StageResults(
        command="python -m bench.stages",
        began_at="2026-01-02T03:04:05+00:00",
        took_s=60.0,
        machine=machine,
        rounds=2,
        stages=ROUNDS,
    )
    assert reported(decoded(msgspec.json.encode(results))) == stages_report(results)
    assert "**iris**" in stages_report(results)


def test_a_kept_run_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind of run 'weather'"):
        decoded(b'{"kind": "weather"}')
