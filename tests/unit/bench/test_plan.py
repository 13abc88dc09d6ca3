"""In which order a benchmark's turns come."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.__main__ import DEFAULT_RIVALS, planned
from bench.plan import Plan

PLAN = Plan(rivals=("a", "b", "c"), connections=(1, 64), rounds=4, seconds=2)
OPEN = Plan(rivals=("a", "b"), connections=(1,), rounds=1, seconds=2, rates=(30, 100))


def order(number: int, connections: int) -> str:
    return "".join(t.rival for t in PLAN.turns("iris") if (t.round, t.connections) == (number, connections))


def test_every_rival_meets_every_load_once_a_round() -> None:
    seen = Counter(PLAN.turns("iris"))
    assert len(seen) == 4 * 2 * 3
    assert set(seen.values()) == {1}


def test_rounds_alternate_which_rival_goes_first() -> None:
    assert [order(number, 64) for number in range(4)] == ["abc", "cba", "abc", "cba"]


def test_rivals_are_next_to_each_other_under_one_load() -> None:
    turns = [(t.round, t.connections) for t in PLAN.turns("iris")]
    assert turns == sorted(turns)


def test_the_more_wait_at_once_the_longer_a_turn_is() -> None:
    assert [round(PLAN.measured_for_s(c), 1) for c in (1, 64, 256)] == [2, 3, 6]
    assert [round(PLAN.warm_up_for_s(c), 1) for c in (1, 64, 256)] == [1, 1.5, 3]


def test_open_loops_follow_the_closed_loops_and_count_no_connections() -> None:
    assert [(t.rival, t.connections, t.rate) for t in OPEN.turns("heavy")] == [
        ("a", 1, None),
        ("b", 1, None),
        ("a", 0, 30),
        ("b", 0, 30),
        ("a", 0, 100),
        ("b", 0, 100),
    ]
    assert {t.model for t in OPEN.turns("heavy")} == {"heavy"}


def test_the_run_that_make_bench_makes_takes_less_than_a_quarter_of_an_hour() -> None:
    plan = planned([])
    assert plan.rivals == tuple(DEFAULT_RIVALS.split(","))
    assert plan.rounds >= 5
    assert plan.estimate_s() < 15 * 60


def test_a_full_run_has_every_model_and_open_loops() -> None:
    plan = planned(["--full"])
    assert plan.models == ("iris", "classifier", "heavy")
    assert plan.connections == (1, 16, 64, 256)
    assert len(plan.rates) >= 4


def test_options_stand_before_the_size_of_a_run() -> None:
    plan = planned(["--quick", "--models", "heavy", "--rates", "5,50", "--rounds", "9"])
    assert (plan.models, plan.rates, plan.rounds, plan.seconds) == (("heavy",), (5, 50), 9, 1.0)


@pytest.mark.parametrize("words", [["--rounds", "0"], ["--connections", "0"], ["--rates", "-1"]])
def test_a_run_of_nothing_is_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        planned(words)
