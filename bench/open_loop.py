"""Summary of an open loop: latency from the time at which each request was due. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bench.arrivals import Call, Offer
from bench.samples import Measured, percentile


def measure_open(calls: Sequence[Call], offer: Offer, *, warm_up_s: float) -> Measured:
    """Summary of the requests due after the warm-up, regardless of when their answers came.

    A request without an answer is bad and has no time; if there are any, the times are lower bounds.
    """
    due = sum(due_s >= warm_up_s for due_s in offer.arrivals())
    times_ms = sorted(call.took_ms for call in calls if call.good and call.due_s >= warm_up_s)
    return Measured(
        good=len(times_ms),
        bad=due - len(times_ms),
        rps=len(times_ms) / (offer.seconds - warm_up_s),
        p50_ms=percentile(times_ms, 50),
        p90_ms=percentile(times_ms, 90),
        p99_ms=percentile(times_ms, 99),
        steady=len(times_ms) == due,
    )
