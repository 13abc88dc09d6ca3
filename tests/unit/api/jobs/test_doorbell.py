"""The rate of doorbells: a burst passes at once, then a steady rate."""

from __future__ import annotations

from api.jobs.doorbell import TokenBucket


def test_a_burst_passes_at_once_and_then_at_least_a_single_token() -> None:
    bucket = TokenBucket(burst=3, per_s=100)
    assert (bucket.take(2, 50.0), bucket.spent) == (2, False)
    assert (bucket.take(2, 50.0), bucket.spent) == (1, True)
    assert (bucket.take(5, 50.0), bucket.spent) == (1, True)


def test_a_rate_below_the_limit_never_spends_the_bucket() -> None:
    bucket = TokenBucket(burst=2, per_s=100)
    assert not any(bucket.take(1, 50.0 + 0.011 * turn) > 1 or bucket.spent for turn in range(50))


def test_a_rest_earns_no_more_than_a_burst() -> None:
    bucket = TokenBucket(burst=2, per_s=100)
    bucket.take(2, 50.0)
    assert bucket.take(9, 5000.0) == 2
