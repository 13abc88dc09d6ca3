"""Spreads, ratios and tables of a benchmark."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import msgspec
import pytest

from bench.arrivals import Call, Offer
from bench.open_loop import measure_open
from bench.plan import Plan, Turn
from bench.plots import Line, Plot, axis, svg
from bench.report import rates_table, report, report_plots, rivals_table
from bench.results import Machine, Results, Round, Stages
from bench.samples import Measured
from bench.spreads import Spread, ratios, short, spread
from bench.stored_runs import BEGIN, END, decoded, replaced, reported
from bench.tables import table


def a_round(number: int, rival: str, rps: float, *, bad: int = 0, steady: bool = True) -> Round:
    measured = Measured(good=round(rps), bad=bad, rps=rps, p50_ms=8.0, p90_ms=9.0, p99_ms=10.0, steady=steady)
    return Round(Turn(number, 64, rival), measured, {"gateway": 0.5, "worker": 1.0}, {"worker": 2**20}, 0.1)


def results(*rounds: Round, stages: tuple[Stages, ...] = ()) -> Results:
    return Results(
        command="python -m bench",
        began_at="2026-01-02T03:04:05+00:00",
        took_s=240.0,
        load="h2load --h1",
        plan=Plan(("guide", "takt"), (64,), rounds=2, seconds=3),
        machine=Machine(2, "a processor", "Linux 6", 0.5, {"Python": "3.11"}),
        rounds=rounds,
        stages=stages,
    )


TWO_ROUNDS = (
    a_round(0, "guide", 40),
    a_round(0, "takt", 800),
    a_round(1, "takt", 300),
    a_round(1, "guide", 10),
)


def cells(text: str, row: int) -> list[str]:
    """A row of a table: 0 is the header, 2 the first below the rule."""
    return [cell.strip() for cell in text.splitlines()[row].strip("|").split("|")]


def open_results() -> Results:
    """guide answers half of the requests, takt all of them."""
    plan = Plan(("guide", "takt"), (64,), rounds=1, seconds=3, rates=(100,))
    closed = [a_round(0, "guide", 40), a_round(0, "takt", 800)]
    opened = [
        replace(closed[0], turn=Turn(0, 0, "guide", rate=100), measured=replace(HALF, steady=False)),
        replace(closed[1], turn=Turn(0, 0, "takt", rate=100), measured=replace(HALF, good=400, bad=0)),
    ]
    return replace(results(*closed, *opened), plan=plan)


HALF = Measured(good=200, bad=200, rps=50, p50_ms=500.0, p90_ms=900.0, p99_ms=1000.0, steady=True)


def test_a_spread_is_the_median_with_its_least_and_most() -> None:
    assert spread([3, None, 1, 8]) == Spread(3, 1, 8)
    assert spread([None, None]) is None


def test_ratios_are_of_rounds_that_ran_next_to_each_other() -> None:
    # a machine half as fast in the second round: the ratio has no spread
    assert ratios([800, 400], [40, 20]) == Spread(20, 20, 20)


def test_a_round_in_which_the_other_answered_nothing_counts_as_infinitely_much() -> None:
    found = ratios([800, 400, 100], [40, 0, 10])
    assert found is not None
    assert found.shown(short) == "20 (10-∞)"
    assert ratios([0], [0]) is None


@pytest.mark.parametrize(
    ("value", "shown"), [(0.916, "0.92"), (9.44, "9.4"), (41.6, "42"), (1204.4, "1,204"), (0, "0.00")]
)
def test_numbers_are_shown_with_the_digits_that_mean_something(value: float, shown: str) -> None:
    assert short(value) == shown


def test_a_spread_without_any_is_shown_as_a_number() -> None:
    assert Spread(42.1, 41.8, 42.3).shown(short) == "42"
    assert Spread(42, 40, 44).shown(short) == "42 (40-44)"


def test_tables_are_aligned_markdown() -> None:
    assert table(["a", "long name"], [["1,000", "x"]]) == (
        "|     a | long name |\n| ----: | --------: |\n| 1,000 |         x |"
    )


def test_each_rival_is_set_against_the_first() -> None:
    text = rivals_table(results(*TWO_ROUNDS), "iris")
    assert cells(text, 0)[:4] == ["connections", "rival", "req/s", "× guide"]
    assert cells(text, 2)[:4] == ["64", "guide", "25 (10-40)", "-"]
    assert cells(text, 3)[:4] == ["64", "takt", "550 (300-800)", "25 (20-30)"]


def test_what_an_answer_costs_is_cpu_time_by_answers() -> None:
    assert a_round(0, "takt", 300).cpu_ms_a_request == pytest.approx(5.0)
    assert a_round(0, "takt", 0).cpu_ms_a_request is None


def test_answers_that_were_not_2xx_are_reported_as_such() -> None:
    text = report(results(a_round(0, "guide", 9), a_round(0, "takt", 9, bad=7)))
    assert "7 requests were not answered with 2xx" in text
    assert "not answered" not in report(results(*TWO_ROUNDS))


def test_times_that_are_too_short_are_marked_as_bounds() -> None:
    text = rivals_table(results(a_round(0, "guide", 9, steady=False), a_round(0, "takt", 9)), "iris")
    assert [cells(text, row)[4] for row in (2, 3)] == ["≥ 8.0", "8.0"]


def test_the_report_says_where_the_time_goes() -> None:
    stages = Stages("iris", "takt", 64, 900, 21.0, 31.0, {"queue": 9.5, "predict": 6.25})
    text = report(results(*TWO_ROUNDS, stages=(stages,)))
    assert cells(text.splitlines()[-1], 0) == ["64", "takt", "31", "9.5", "6.2", "5.2", "21"]
    assert (
        "- takt at 64 connections, CPU cores: gateway 0.50, worker 1.0; MiB: gateway 0.00, worker 1.0."
        in text
    )


def test_latency_stands_against_the_rate_that_was_asked() -> None:
    text = rates_table(open_results(), "iris")
    assert cells(text, 2)[:4] == ["100", "guide", "50%", "≥ 500"]
    assert cells(text, 3)[:4] == ["100", "takt", "100%", "500"]


def test_an_open_loop_counts_what_was_due_after_the_warm_up_and_never_answered() -> None:
    offer = Offer(rate=50, seconds=3)
    due = [due_s for due_s in offer.arrivals() if due_s >= 1]
    calls = [Call(due_s=0.5, ended_s=9.0, status=200), *(Call(d, d + 0.02, 200) for d in due[1:-1])]
    seen = measure_open([*calls, Call(due[-1], due[-1], 503)], offer, warm_up_s=1)
    assert (seen.good, seen.bad, seen.steady) == (len(due) - 2, 2, False)
    assert seen.p99_ms == pytest.approx(20)


def test_a_rival_that_took_no_part_is_named_with_its_reason() -> None:
    text = report(replace(results(*TWO_ROUNDS), skipped={"mosec": "no wheel"}))
    assert "mosec took no part, for it cannot be installed here: no wheel" in text


def test_a_report_can_be_made_of_what_was_kept() -> None:
    kept = open_results()
    assert reported(decoded(msgspec.json.encode(kept))) == report(kept)


def test_a_page_gets_other_runs_between_its_marks() -> None:
    runs, costs = (f"{BEGIN.format(name)}\n\n{{}}\n\n{END}" for name in ("runs", "costs"))
    page = f"# Title\n\n{runs}\n\n{costs}\n\nmore\n"
    assert replaced(page.format("old", "dear"), "new", "runs") == page.format("new", "dear")
    assert replaced(page.format("old", "dear"), "cheap", "costs") == page.format("old", "cheap")
    with pytest.raises(ValueError, match="has no"):
        replaced("# Title\n", "new", "runs")


def test_plots_are_of_what_was_measured() -> None:
    plots = report_plots(open_results())
    assert plots["load-iris"].lines == (Line("guide", ((40.0, 8.0),)), Line("takt", ((800.0, 8.0),)))
    assert plots["rates-iris"].lines == (Line("guide", ((100, 1000.0),)), Line("takt", ((100, 1000.0),)))


def test_an_axis_is_logarithmic_where_values_span_more_than_a_decade() -> None:
    assert (axis([3, 40]).least, axis([3, 40]).most) == (1, 100)
    assert axis([3, 40]).at(10) == pytest.approx(0.5)
    assert axis([3, 4]).at(2) == pytest.approx(0.5)


def test_an_axis_of_close_values_has_round_ticks() -> None:
    assert axis([242, 669]).ticks() == [0, 200, 400, 600, 800]
    assert axis([0.3, 0.5]).ticks() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert axis([]).ticks()[0] == 0


def test_a_plot_is_an_svg_with_a_line_for_each_series() -> None:
    text = svg(Plot("a < b", "x", "y", (Line("one", ((1, 2), (3, 4))), Line("two", ((1, 1),)))))
    titles = [element.text for element in ElementTree.fromstring(text).iter() if element.tag.endswith("text")]
    assert titles[0] == "a < b"
    assert text.count("<polyline") == 2
