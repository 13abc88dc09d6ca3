"""The facts that admission needs about a model version: this gateway's requests exactly, and those of other
gateways by the last look at the streams. The owners of other gateways' rows are unknown."""

from __future__ import annotations

from api.fleet.snapshot import Fleet
from api.online.admission import Claim, Traffic
from api.online.inflight import InflightRequests
from shared.keys import ModelKey
from shared.specs import ModelSpec


def traffic_of(
    key: ModelKey, spec: ModelSpec, fleet: Fleet, pending: InflightRequests, max_inflight_rows: int
) -> Traffic:
    own_s, others_s = 0.0, 0.0
    for other in fleet.beside(key):  # a worker takes the oldest entry first, of all its models
        if rate := fleet.rates[other]:
            own_s += pending.rows_of(other) / rate
            others_s += fleet.others_rows.get(other, 0.0) / rate
    return Traffic(
        holders=fleet.matching_holders(key),
        mismatch=fleet.mismatch(key),
        rows_per_s=fleet.rates.get(key, 0.0),
        backlog_s=own_s + others_s,
        own_share=own_s / (own_s + others_s) if own_s else float(not others_s),
        batch_rows=spec.batching.max_rows,
        inflight_rows=pending.rows,
        max_inflight_rows=max_inflight_rows,
        least_call_s=fleet.least_call_s.get(key, 0.0),
        most_rows_per_s=fleet.most_rows_per_s.get(key, 0.0),
    )


def claim_of(
    owner: str, share: float, key: ModelKey, fleet: Fleet, pending: InflightRequests, *, default_wait_s: float
) -> Claim:
    """An owner's share and use of this gateway, while other owners are active."""
    backlog_s = 0.0
    for other in fleet.beside(key):
        if rate := fleet.rates[other]:
            backlog_s += pending.owner_rows_of(owner, other) / rate
    return Claim(owner, share, backlog_s, pending.owner_rows(owner), default_wait_s)
