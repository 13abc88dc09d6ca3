"""The rate of doorbells: a burst passes at once, then a steady rate."""

from __future__ import annotations

from api.jobs.doorbell import TokenBucket


def test_a_burst_goes_at_once_and_of_what_follows_one() -> None:
    pace = TokenBucket(burst=3, per_s=100)
    assert (pace.take(2, 50.0), pace.spent) == (2, False)
    assert (pace.take(2, 50.0), pace.spent) == (1, True)
    assert (pace.take(5, 50.0), pace.spent) == (1, True)


def test_who_goes_slower_than_the_pace_never_spends_it() -> None:
    pace = TokenBucket(burst=2, per_s=100)
    assert not any(pace.take(1, 50.0 + 0.011 * turn) > 1 or pace.spent for turn in range(50))


def test_a_rest_earns_no_more_than_a_burst() -> None:
    pace = TokenBucket(burst=2, per_s=100)
    pace.take(2, 50.0)
    assert pace.take(9, 5000.0) == 2
