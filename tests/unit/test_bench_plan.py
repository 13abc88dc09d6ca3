"""In which order a benchmark's turns come."""

from __future__ import annotations

from collections import Counter

from bench.plan import Plan

PLAN = Plan(rivals=("a", "b", "c"), connections=(1, 64), rounds=4, seconds=2)


def order(number: int, connections: int) -> str:
    return "".join(t.rival for t in PLAN.turns() if (t.round, t.connections) == (number, connections))


def test_every_rival_meets_every_load_once_a_round() -> None:
    seen = Counter(PLAN.turns())
    assert len(seen) == 4 * 2 * 3
    assert set(seen.values()) == {1}


def test_rounds_alternate_which_rival_goes_first() -> None:
    assert [order(number, 64) for number in range(4)] == ["abc", "cba", "abc", "cba"]


def test_rivals_are_next_to_each_other_under_one_load() -> None:
    turns = [(t.round, t.connections) for t in PLAN.turns()]
    assert turns == sorted(turns)


def test_the_more_wait_at_once_the_longer_a_turn_is() -> None:
    assert [round(PLAN.measured_for_s(c), 1) for c in (1, 64, 256)] == [2, 3, 6]
    assert [round(PLAN.warm_up_for_s(c), 1) for c in (1, 64, 256)] == [1, 1.5, 3]


def test_the_run_that_make_bench_makes_takes_less_than_six_minutes() -> None:
    plan = Plan(rivals=("guide", "takt"), connections=(1, 16, 64, 256), rounds=5, seconds=2)
    assert plan.estimate_s() < 360
