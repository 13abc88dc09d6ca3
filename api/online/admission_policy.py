"""The admission decision: whether a request may enter the online lane now. Pure.

A request that cannot be answered in time is rejected within a few milliseconds, with a `Retry-After` at which
it would be admitted. So no work is started for a client that would time out.
"""

from __future__ import annotations

import math

from msgspec import Struct

from api.fleet.snapshot import Fleet, ModelAvailability
from api.online.inflight import InflightRequests
from shared.errors import DeadlineExceededError, ModelMismatchError, ModelNotLoadedError, OverloadedError
from shared.keys import ModelKey
from shared.specs import ModelSpec

NOT_LOADED_RETRY_S = 5.0
"""About the time that a worker takes to start and warm its models."""
LEAST_RETRY_S = 1.0
MOST_RETRY_S = 60.0

FILLED = 0.85
"""Part of a request's wait that the queued work may take, its own included. The rest covers rows that other
gateways admit at the same moment, a running slice of a chunk, and a rate that has just changed."""
LEAST_FILLED = 0.5
"""The least such part, also if a batch takes most of the wait: batches must be able to form."""
SPARE = 0.1
"""With several active owners: the additional part of the wait that owners within their share may fill, and
the part of the rows in flight that is reserved for them."""
BEYOND_SHARE = 0.7
"""With several active owners: owners beyond their share may fill this part of the usable wait. The rest is
for the other owners; it suffices if the rate drops by a third after the queue was filled."""
FULL = "This gateway has reached its limit of rows in flight."
LEAST_SHARE = 0.1
"""Least assumed share of the rate, for a gateway that has sent almost nothing yet."""


class Traffic(Struct, frozen=True):  # made for every request
    """The state of a model version when a request for it arrives."""

    holders: int  # live workers that hold it
    rows_per_s: float  # of all holders together; 0: not measured yet
    backlog_s: float  # waiting and running work on the holders, of all their models
    own_share: float  # this gateway's part of that work, 0 to 1
    batch_rows: int  # rows of a full batch
    inflight_rows: int  # of this gateway, all models
    max_inflight_rows: int
    mismatch: str = ""  # how workers with another spec or artifact (no `holders`) differ from this gateway
    least_call_s: float = 0.0  # the shortest call ever measured; 0: not measured
    most_rows_per_s: float = 0.0  # the highest rate ever measured, of all holders together; 0: not measured
    on_demand: bool = False  # it is loaded at its first request


class QueueClaim(Struct, frozen=True):
    """An owner's share and current use of a gateway, while other owners are active too."""

    owner: str
    share: float  # of the work, by weight: 0 to 1
    backlog_s: float  # the owner's part of this gateway's work
    rows: int  # the owner's rows in flight
    default_wait_s: float  # wait of a client that asks for none


def traffic_of(
    key: ModelKey, spec: ModelSpec, fleet: Fleet, inflight: InflightRequests, max_inflight_rows: int
) -> Traffic:
    """The state of a model version: this gateway's requests exactly, and those of other gateways by the last
    look at the streams. The owners of other gateways' rows are unknown."""
    capacity = fleet.capacity(key)
    others_s, own_s = capacity.others_s, 0.0
    for other, rate in capacity.rates:  # a worker takes the oldest entry first, of all its models
        own_s += inflight.rows_of(other) / rate
    return Traffic(
        holders=capacity.holders,
        mismatch=capacity.mismatch,
        rows_per_s=capacity.rows_per_s,
        backlog_s=own_s + others_s,
        own_share=own_s / (own_s + others_s) if own_s else float(not others_s),
        batch_rows=spec.batching.max_rows,
        inflight_rows=inflight.rows,
        max_inflight_rows=max_inflight_rows,
        least_call_s=capacity.least_call_s,
        most_rows_per_s=capacity.most_rows_per_s,
        on_demand=capacity.on_demand,
    )


def claim_of(
    owner: str,
    share: float,
    key: ModelKey,
    fleet: Fleet,
    inflight: InflightRequests,
    *,
    default_wait_s: float,
) -> QueueClaim:
    """An owner's share and use of this gateway, while other owners are active."""
    rates = fleet.capacity(key).rates
    backlog_s = sum(inflight.owner_rows_of(owner, other) / rate for other, rate in rates)
    return QueueClaim(owner, share, backlog_s, inflight.owner_rows(owner), default_wait_s)


class RetrySchedule:
    """Schedules the retries of rejected clients, so that they do not all return at once and get rejected
    again. Each client's `Retry-After` follows the clients rejected before it, at this gateway's rate.

    Only the end of the schedule is kept, by model version and owner.
    """

    def __init__(self) -> None:
        self._ends_s: dict[tuple[ModelKey, str], float] = {}
        self._last_end_s = 0.0

    def place_s(self, key: ModelKey, now_s: float, late_s: float, takes_s: float, owner: str = "") -> float:
        """Add a client to its owner's schedule, at least `late_s` from now. → seconds until its retry"""
        turn_s = max(now_s + late_s, self._ends_s.get((key, owner), 0.0))
        ends_s = self._ends_s[key, owner] = min(turn_s + takes_s, now_s + MOST_RETRY_S)
        self._last_end_s = max(self._last_end_s, ends_s)
        return min(MOST_RETRY_S, max(LEAST_RETRY_S, turn_s - now_s))

    def lasts(self, now_s: float) -> bool:
        """Whether a rejected client's retry is still due."""
        return self._last_end_s > now_s


def not_loaded(
    key: ModelKey, availability: ModelAvailability, refusal: ModelNotLoadedError
) -> ModelNotLoadedError:
    """Add the cause to a rejection: workers are loading the model version, or cannot load it."""
    if availability.refusal:
        detail = availability.refusal
    elif availability.loading:
        detail = f"{availability.loading} worker(s) are loading {key}."
    elif availability.failures:
        detail = f"Workers cannot load {key}: {availability.failure}"
    else:
        return refusal
    return ModelNotLoadedError(detail, retry_after_s=refusal.retry_after_s)


def admit(
    traffic: Traffic,
    key: ModelKey,
    rows: int,
    wait_s: float,
    *,
    retries: RetrySchedule,
    now_s: float,
    claim: QueueClaim | None = None,
) -> None:
    """Return if the request may enter. `now_s` is monotonic. `claim`: None if no other owner is active.

    Raises ModelNotLoadedError, ModelMismatchError, Overloaded with the time after which this client would be
    admitted,
    or DeadlineExceededError if even an idle worker could not answer within the wait.
    """
    if not traffic.holders and traffic.mismatch and not traffic.on_demand:
        raise ModelMismatchError(traffic.mismatch, retry_after_s=NOT_LOADED_RETRY_S)
    if not traffic.holders and not traffic.on_demand:
        raise ModelNotLoadedError(f"No live worker holds {key}.", retry_after_s=NOT_LOADED_RETRY_S)
    require_time(traffic, key, rows, wait_s)
    takes_s = rows / traffic.rows_per_s if traffic.rows_per_s else 0.0
    reason, late_s = "", 0.0
    if claim is not None:
        reason, late_s = beside_others(traffic, claim, rows, takes_s, wait_s)
    elif (
        surplus_rows := traffic.inflight_rows + rows - traffic.max_inflight_rows
    ) > 0 and traffic.inflight_rows:
        reason = FULL
        late_s = surplus_rows / traffic.rows_per_s if traffic.rows_per_s else LEAST_RETRY_S
    elif traffic.rows_per_s and traffic.backlog_s:
        late_s = traffic.backlog_s + takes_s - usable_s(traffic, wait_s)
    if late_s > 0:
        interval_s = takes_s / max(LEAST_SHARE, traffic.own_share)
        turn_s = retries.place_s(key, now_s, late_s, interval_s, claim.owner if claim is not None else "")
        raise OverloadedError(reason or None, retry_after_s=float(math.ceil(turn_s)))


def require_time(traffic: Traffic, key: ModelKey, rows: int, wait_s: float) -> None:
    """Raises DeadlineExceededError if the wait is shorter than the shortest answer measured so far."""
    at_best_s = rows / traffic.most_rows_per_s if traffic.most_rows_per_s else 0.0
    needed_s = max(traffic.least_call_s, at_best_s)
    if needed_s >= wait_s:
        enough_s = math.ceil(needed_s / FILLED) + 1
        subject = "this row" if rows == 1 else f"these {rows} rows"
        raise DeadlineExceededError(
            f"{key} needs at least {needed_s:.1f} s for {subject}, but this request waits {wait_s:g} s. Ask "
            f"for a longer wait (`Prefer: wait={enough_s}`, if TAKT_MAX_WAIT_S allows it), or submit a job."
        )


def beside_others(
    traffic: Traffic, claim: QueueClaim, rows: int, takes_s: float, wait_s: float
) -> tuple[str, float]:
    """Decide for an owner beside other active owners. → a reason, and by how many seconds the request is too
    early; 0: it may enter

    An owner within its share may fill the queue a little further (`SPARE`) than the others: it is admitted to
    a queue that they have filled, and they are rejected until the queue is below their limit again. So only
    owners that use their share hold an owner to its own. A request larger than `max_inflight_rows` is not
    admitted alone, since the other owners would be rejected meanwhile. A wait longer than the default does
    not lengthen the queue.
    """
    wait_s = min(wait_s, claim.default_wait_s)
    rate, within = traffic.rows_per_s, is_within_share(traffic, claim, rows, takes_s, wait_s)
    most_rows = traffic.max_inflight_rows if within else (1 - SPARE) * traffic.max_inflight_rows
    surplus_rows = traffic.inflight_rows + rows - most_rows
    if surplus_rows > 0:
        return FULL, surplus_rows / rate if rate else LEAST_RETRY_S
    if not rate:
        return "", 0.0
    usable = usable_s(traffic, wait_s)
    room_s = usable + SPARE * wait_s if within else BEYOND_SHARE * usable
    return "", traffic.backlog_s + takes_s - room_s


def is_within_share(traffic: Traffic, claim: QueueClaim, rows: int, takes_s: float, wait_s: float) -> bool:
    """Whether the owner would stay within its share of rows in flight and of queued work."""
    if claim.rows + rows > claim.share * traffic.max_inflight_rows:
        return False
    return not traffic.rows_per_s or claim.backlog_s + takes_s <= claim.share * usable_s(traffic, wait_s)


def usable_s(traffic: Traffic, wait_s: float) -> float:
    """Seconds of work, its own included, that may be queued for a request with this wait. The request is
    answered with its batch, so that the last batch counts in full."""
    batch_s = traffic.batch_rows * traffic.holders / traffic.rows_per_s
    return max(LEAST_FILLED * wait_s, FILLED * wait_s - batch_s)


ASKS_S = 10.0
"""How long an owner (name of an API key) is active after its last request, admitted or rejected: a rejection
must not cost an owner its share."""
LOOK_EVERY_S = 1.0
"""Interval between removals of inactive owners."""


class Owners:
    """The active owners of a gateway."""

    def __init__(self) -> None:
        self._asked_s: dict[str, float] = {}
        self._weights: dict[str, float] = {}
        self._sum = 0.0
        self._look_s = 0.0

    def share(self, owner: str, weight: float, now_s: float) -> float:
        """Record an owner's request. → its share of the work, 0 to 1; exactly 1 if no other is active"""
        self._asked_s[owner] = now_s
        if self._weights.get(owner) != weight:
            self._weights[owner] = weight
            self._look_s = now_s
        if now_s >= self._look_s:
            self._look(now_s)
        return 1.0 if len(self._weights) == 1 else weight / self._sum

    def _look(self, now_s: float) -> None:
        self._look_s = now_s + LOOK_EVERY_S
        for owner in [owner for owner, asked_s in self._asked_s.items() if now_s - asked_s > ASKS_S]:
            del self._asked_s[owner], self._weights[owner]
        self._sum = sum(self._weights.values())
