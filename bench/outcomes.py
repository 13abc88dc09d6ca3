"""Outcomes of an open loop: admissions, rejections, and the accuracy of `Retry-After`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.arrivals import Call, Offer
from bench.samples import percentile

FILLING_S = 1.0
"""Start of the goodput measurement; before it, the backlog of an overload builds up."""


@dataclass(frozen=True)
class Outcome:
    """Figures of a load. Times in ms from when a request was due; None: no such request."""

    new: int
    new_admitted: int  # new requests answered with 200
    good_per_s: float  # answers a second during the load, including retries
    p50_ms: float | None  # of 200s
    p99_ms: float | None
    refusal_p50_ms: float | None
    refusal_p99_ms: float | None
    misses: int  # admitted, and not answered in time
    broken: int  # no answer, or a status other than 200, 503 and 504
    returned: int  # clients that retried after their Retry-After
    returned_admitted: int
    longest_retry_s: int

    @property
    def honesty(self) -> float | None:
        """The share of retries that were admitted."""
        return self.returned_admitted / self.returned if self.returned else None


def outcome_of(calls: Sequence[Call], offer: Offer) -> Outcome:
    """Raises ValueError for a load that ends before the measurement starts."""
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
    """Whether an admitted request was not answered in time. A delay in sending counts against the server."""
    return call.status == 504 or (call.good and call.took_ms > offer.wait_s * 1000)
