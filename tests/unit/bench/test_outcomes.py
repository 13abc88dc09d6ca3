"""The outcomes of an open loop's calls."""

from __future__ import annotations

import pytest

from bench.arrivals import Call, Offer
from bench.outcomes import outcome_of

OFFER = Offer(rate=100.0, seconds=3.0, wait_s=2)


def test_arrivals_are_as_many_as_the_rate_says_and_the_same_each_time() -> None:
    offer = Offer(rate=1000.0, seconds=5.0, seed=3)
    due = list(offer.arrivals())
    assert len(due) == pytest.approx(5000, rel=0.05)
    assert due == sorted(due) == list(offer.arrivals())
    assert due[-1] < 5.0


def test_goodput_counts_answers_while_the_load_runs_once_its_backlog_has_formed() -> None:
    times_s = (0.5, 1.5, 2.5, 3.5)
    seen = outcome_of([Call(due_s=0.1, ended_s=end_s, status=200) for end_s in times_s], OFFER)
    assert seen.good_per_s == 1.0


def test_late_answers_and_passed_deadlines_are_misses_and_anything_else_is_broken() -> None:
    calls = [
        Call(0.0, 2.1, 200),
        Call(0.0, 1.9, 200),
        Call(0.0, 2.0, 504),
        Call(0.0, 0.1, 500),
        Call(0.0, 0.1, -1),
    ]
    seen = outcome_of(calls, OFFER)
    assert (seen.misses, seen.broken, seen.new_admitted) == (2, 2, 2)


def test_honesty_is_the_share_of_returning_clients_that_were_admitted() -> None:
    refused = Call(0.0, 0.001, 503, retry_after_s=2)
    returns = [Call(2.1, 2.5, 200, told_s=2), Call(2.2, 2.201, 503, retry_after_s=1, told_s=2)]
    seen = outcome_of([refused, *returns], OFFER)
    assert (seen.new, seen.new_admitted, seen.returned, seen.honesty) == (1, 0, 2, 0.5)
    assert seen.longest_retry_s == 2


def test_a_load_that_is_over_before_it_counts_is_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        outcome_of([], Offer(rate=1.0, seconds=0.5))
