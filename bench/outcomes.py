"""What an open loop's calls show: who was admitted, who was refused, and was a Retry-After honest? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.arrivals import Call, Offer
from bench.samples import percentile

FILLING_S = 1.0
"""Goodput counts from here: until then the backlog of an overload builds up."""


@dataclass(frozen=True)
class Outcome:
    """One load. Times in ms, from when a request was due; None: there was none."""

    new: int
    new_admitted: int  # of the new ones, answered 200
    good_per_s: float  # answers while the load ran, returning clients' too
    p50_ms: float | None  # of 200s
    p99_ms: float | None
    refusal_p50_ms: float | None
    refusal_p99_ms: float | None
    misses: int  # admitted, and not answered in time
    broken: int  # no answer, or one that is neither 200, 503 nor 504
    returned: int  # clients that came back when they were told to
    returned_admitted: int
    longest_retry_s: int

    @property
    def honesty(self) -> float | None:
        """The share of returning clients that were admitted."""
        return self.returned_admitted / self.returned if self.returned else None


def outcome_of(calls: Sequence[Call], offer: Offer) -> Outcome:
    """Raises ValueError for a load that is over before it counts."""
    if offer.seconds <= FILLING_S:
        raise ValueError(f"a load must last longer than {FILLING_S:g} s")
    good = [call for call in calls if call.good]
    refused = [call for call in calls if call.refused]
    returning = [call for call in calls if call.returning]
    times_ms = sorted(call.took_ms for call in good)
    refusals_ms = sorted(call.took_ms for call in refused)
    while_loaded = sum(FILLING_S <= call.ended_s < offer.seconds for call in good)
    return Outcome(
        new=len(calls) - len(returning),
        new_admitted=sum(not call.returning for call in good),
        good_per_s=while_loaded / (offer.seconds - FILLING_S),
        p50_ms=percentile(times_ms, 50),
        p99_ms=percentile(times_ms, 99),
        refusal_p50_ms=percentile(refusals_ms, 50),
        refusal_p99_ms=percentile(refusals_ms, 99),
        misses=sum(_missed(call, offer) for call in calls),
        broken=sum(call.status not in (200, 503, 504) for call in calls),
        returned=len(returning),
        returned_admitted=sum(call.good for call in returning),
        longest_retry_s=max((call.retry_after_s or 0 for call in refused), default=0),
    )


def _missed(call: Call, offer: Offer) -> bool:
    """Admitted and not answered in time; how late the load itself sent it counts against the server, too."""
    return call.status == 504 or (call.good and call.took_ms > offer.wait_s * 1000)
