"""Which versions are held, refused and dropped."""

from __future__ import annotations

import pytest

from worker.supervision.memory_budget import IN_USE_S, KEPT_S, MOST_NAMED, MemoryBudget

MIB = 2**20


@pytest.fixture
def budget() -> MemoryBudget:
    """A budget of 100 MiB, of which two versions hold 80."""
    made = MemoryBudget(100 * MIB)
    assert made.take("a@1", 50 * MIB, 0.0, evicts=True) == []
    assert made.take("b@1", 30 * MIB, 1.0, evicts=True) == []
    return made


def test_a_version_that_does_not_fit_is_refused_with_the_figures(budget: MemoryBudget) -> None:
    assert budget.take("c@1", 40 * MIB, 60.0, evicts=False) is None
    assert budget.held == {"a@1", "b@1"}
    assert budget.refusal("c@1", 40 * MIB, evicts=False) == (
        "c@1 takes 40 MiB; 80 of 100 MiB are in use by a@1 (50 MiB), b@1 (30 MiB). "
        "Raise TAKT_MODELS_MEMORY_BYTES, or remove versions."
    )


def test_a_version_larger_than_the_budget_drops_nothing(budget: MemoryBudget) -> None:
    assert budget.take("c@1", 101 * MIB, 60.0, evicts=True) is None
    assert budget.held == {"a@1", "b@1"}
    assert budget.refusal("c@1", 101 * MIB, evicts=True) == (
        "c@1 takes 101 MiB, more than the memory budget of 100 MiB. Raise TAKT_MODELS_MEMORY_BYTES."
    )


def test_a_refusal_names_the_largest_versions_alone() -> None:
    budget = MemoryBudget(100 * MIB)
    for number in range(1, 9):
        budget.take(f"m{number}@1", number * MIB, 0.0, evicts=False)
    refusal = budget.refusal("x@1", 90 * MIB, evicts=False)
    assert f"by m8@1 (8.0 MiB), m7@1 (7.0 MiB), m6@1 (6.0 MiB), {8 - MOST_NAMED} more. " in refusal


def test_idle_versions_are_dropped_the_least_recently_used_first(budget: MemoryBudget) -> None:
    budget.used("a@1", 2.0)
    assert budget.take("c@1", 40 * MIB, 2.0 + KEPT_S, evicts=True) == ["b@1"]
    assert budget.used_bytes == 90 * MIB
    assert budget.take("d@1", 100 * MIB, 60.0, evicts=True) == ["a@1", "c@1"]
    assert (budget.loads, budget.evictions) == (4, 3)


def test_a_version_that_was_used_lately_is_dropped_only_if_no_other_can_be(budget: MemoryBudget) -> None:
    now_s = 60.0
    budget.used("a@1", now_s - IN_USE_S)
    budget.used("b@1", now_s - IN_USE_S - 1)
    assert budget.take("c@1", 30 * MIB, now_s, evicts=True) == ["b@1"]
    assert budget.take("d@1", 50 * MIB, now_s, evicts=True) == ["a@1"]


def test_a_version_in_use_or_new_is_not_dropped(budget: MemoryBudget) -> None:
    budget.used("a@1", 60.0)
    budget.used("b@1", 60.0)
    assert budget.take("c@1", 40 * MIB, 60.0 + IN_USE_S / 2, evicts=True) is None
    assert MemoryBudget(10).take("a@1", 10, 0.0, evicts=True) == []
    new = MemoryBudget(10)
    new.take("a@1", 10, 0.0, evicts=True)
    assert new.take("b@1", 10, KEPT_S - 0.1, evicts=True) is None
    assert new.take("b@1", 10, KEPT_S, evicts=True) == ["a@1"]


def test_memory_is_given_back(budget: MemoryBudget) -> None:
    budget.give_back("a@1")
    budget.give_back("unknown@1")
    assert budget.take("c@1", 70 * MIB, 2.0, evicts=False) == []


def test_without_a_limit_everything_fits() -> None:
    budget = MemoryBudget()
    assert budget.take("a@1", 2**50, 0.0, evicts=False) == []
    assert budget.used_bytes == 2**50
