"""Whether a request may enter the online lane now. Pure: facts in, a verdict out.

A request that cannot be answered in time is refused at the door, in a few milliseconds, with the time after
which it would have a chance; work that nobody will wait for is never begun.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from shared.errors import ModelNotLoaded, Overloaded
from shared.keys import ModelKey

NOT_LOADED_RETRY_S = 5.0
"""About what a worker takes to start and warm its models."""
LEAST_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is known of one model version when a request for it arrives."""

    holders: int  # live workers that hold it
    rows_per_s: float  # of all holders together; 0: not measured yet
    backlog_rows: float  # waiting or being computed
    inflight_rows: int  # of this gateway, all models
    max_inflight_rows: int


def admit(traffic: Traffic, key: ModelKey, rows: int, wait_s: float) -> None:
    """Return where the request may enter.

    Raises ModelNotLoaded, or Overloaded with the time until the backlog fits the request's wait.
    """
    if not traffic.holders:
        raise ModelNotLoaded(f"No live worker holds {key}.", retry_after_s=NOT_LOADED_RETRY_S)
    surplus_rows = traffic.inflight_rows + rows - traffic.max_inflight_rows
    if surplus_rows > 0 and traffic.inflight_rows:
        raise Overloaded(
            "This gateway has as many rows in flight as it may.",
            retry_after_s=_retry_s(surplus_rows, traffic.rows_per_s),
        )
    late_rows = traffic.backlog_rows - wait_s * traffic.rows_per_s
    if traffic.rows_per_s and late_rows > 0:
        raise Overloaded(retry_after_s=_retry_s(late_rows, traffic.rows_per_s))


def backlog_rows(stream_entries: int, own_rows: int, own_entries: int) -> float:
    """Rows that wait for a model version: this gateway's own, or those in the stream where they are more.

    The stream's length is a snapshot and counts entries, of the other gateways too; this gateway's own rows
    are known exactly, and give the size of an entry.
    """
    rows_per_entry = own_rows / own_entries if own_entries else 1.0
    return max(float(own_rows), stream_entries * rows_per_entry)


def _retry_s(rows: float, rows_per_s: float) -> float:
    """The time in which so many rows are served, in whole seconds as the header wants it."""
    return float(math.ceil(max(LEAST_RETRY_S, rows / rows_per_s))) if rows_per_s else LEAST_RETRY_S
