"""Failing parts are found in few calls, whatever the pattern, and each fails in a call of its own."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection
from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.online.bisection import Bisection


def calls_to_find(parts: int, bad: Collection[int]) -> int:
    """Run the plan against a model that raises on the bad parts. → the number of calls."""
    plan, calls, found = Bisection(parts), 0, []
    while group := plan.group:
        assert plan.settled <= group.start
        calls += 1
        if any(part in bad for part in group):
            if plan.failed():
                found.append(group.start)
                assert len(group) == 1
        else:
            plan.passed()
    assert (found, plan.settled) == (sorted(bad), parts)
    return calls


def most_calls(parts: int) -> float:
    return 1.25 * parts + 2 * log2(parts) + 1


def test_a_batch_that_passes_is_one_call() -> None:
    assert calls_to_find(5000, ()) == 1


def test_one_failing_part_costs_about_a_logarithm() -> None:
    assert max(calls_to_find(4096, {part}) for part in range(0, 4096, 97)) <= 2.5 * log2(4096) + 1


def test_200_failing_of_5000_cost_near_the_least_that_is_possible() -> None:
    """1,206 calls are the information-theoretic limit; halving took more than 1,900."""
    scattered = set(random.Random(1).sample(range(5000), 200))
    assert calls_to_find(5000, scattered) <= 1450
    assert calls_to_find(5000, range(1000, 1200)) <= 350


@pytest.mark.parametrize("parts", [64, 1000, 5000])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_many_failing_parts_cost_little_more_than_a_call_each(parts: int, share: float) -> None:
    bad = set(random.Random(2).sample(range(parts), round(share * parts)))
    assert calls_to_find(parts, bad) <= most_calls(parts)


def test_every_pattern_of_few_parts_is_within_the_bound() -> None:
    for parts in range(1, 11):
        for bits in itertools.product((False, True), repeat=parts):
            bad = {part for part, is_bad in enumerate(bits) if is_bad}
            assert calls_to_find(parts, bad) <= most_calls(parts), bits


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), min_size=1, max_size=40))
def test_stretches_of_failing_parts_are_within_the_bound(stretches: list[tuple[bool, int]]) -> None:
    flags = [is_bad for is_bad, length in stretches for _ in range(length)]
    bad = {part for part, is_bad in enumerate(flags) if is_bad}
    assert calls_to_find(len(flags), bad) <= most_calls(len(flags))


def test_parts_that_fail_only_together_all_pass_and_the_groups_stay_small() -> None:
    plan, sizes = Bisection(1000), []
    while group := plan.group:
        sizes.append(len(group))
        if len(group) > 100:
            assert not plan.failed()
        else:
            plan.passed()
    assert plan.settled == 1000
    assert len(sizes) <= 40
    assert sum(size > 100 for size in sizes) <= 8


def test_a_part_may_be_skipped() -> None:
    plan = Bisection(4)
    run: list[int] = []
    assert not plan.failed()
    while group := plan.group:
        if group.start == 0:
            plan.skip()
            continue
        run += group
        plan.passed()
    assert (plan.settled, run) == (4, [1, 2, 3])
