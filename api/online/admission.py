"""Whether a request may enter the online lane now. Pure: facts in, a verdict out.

A request that cannot be answered in time is refused at the door, in a few milliseconds, with the time after
which it would have a chance; work that nobody will wait for is never begun.
"""

from __future__ import annotations

import math

from msgspec import Struct

from api.fleet.snapshot import ModelAvailability
from shared.errors import DeadlineExceeded, ModelMismatch, ModelNotLoaded, Overloaded
from shared.keys import ModelKey
from shared.texts import foreign_words

NOT_LOADED_RETRY_S = 5.0
"""About what a worker takes to start and warm its models."""
LEAST_RETRY_S = 1.0
MOST_RETRY_S = 60.0

FILLED = 0.85
"""How much of a wait the work before a request may take. The rest is for what is not foreseen: rows that
other gateways admit at the same moment, a slice of a chunk, a rate that has just changed."""
LEAST_FILLED = 0.5
"""… also where one batch takes so long that nothing of the wait would be left: batches must form."""
SPARE = 0.1
"""While several owners ask: how much of a wait owners within their share may fill beyond what one owner alone
may, and the part of the rows in flight that is kept for them."""
BEYOND_SHARE = 0.7
"""… and how much of what one owner alone may fill the owners beyond their share may. The difference is for
the others: it is enough if the rate drops by a third after the queue was filled."""
FULL = "This gateway has as many rows in flight as it may."
LEAST_SHARE = 0.1
"""Of the rate, for a gateway that has sent next to nothing yet."""


class Traffic(Struct, frozen=True):  # made for every request
    """What is known of one model version when a request for it arrives."""

    holders: int  # live workers that hold it
    rows_per_s: float  # of all holders together; 0: not measured yet
    backlog_s: float  # work that waits or runs on them, of all their models
    own_share: float  # of that work, what this gateway sent: 0 to 1
    batch_rows: int  # of a full batch
    inflight_rows: int  # of this gateway, all models
    max_inflight_rows: int
    mismatch: str = ""  # how live workers that hold it differ from this gateway: they are no `holders`
    least_call_s: float = 0.0  # the shortest call ever measured; 0: not measured
    most_rows_per_s: float = 0.0  # the highest rate ever measured, of all holders together; 0: not measured


class Claim(Struct, frozen=True):
    """What one owner has of a gateway beside other owners that ask."""

    owner: str
    share: float  # of the work, by weight: 0 to 1
    backlog_s: float  # of this gateway's work, what is the owner's
    rows: int  # of the rows in flight
    default_wait_s: float  # of a client that asks for no time


class RetrySchedule:
    """In which order refused clients come back. Only its length is kept: by when, at the rate that this
    gateway has, all of those would be served whom it sent away.

    Without it all are told the same moment, come at once, and most of them are refused again.
    """

    def __init__(self) -> None:
        self._ends_s: dict[tuple[ModelKey, str], float] = {}
        self._last_end_s = 0.0

    def place_s(self, key: ModelKey, now_s: float, late_s: float, takes_s: float, owner: str = "") -> float:
        """A client joins its owner's line, not before `late_s` have passed. → seconds until its turn."""
        turn_s = max(now_s + late_s, self._ends_s.get((key, owner), 0.0))
        ends_s = self._ends_s[key, owner] = min(turn_s + takes_s, now_s + MOST_RETRY_S)
        self._last_end_s = max(self._last_end_s, ends_s)
        return min(MOST_RETRY_S, max(LEAST_RETRY_S, turn_s - now_s))

    def lasts(self, now_s: float) -> bool:
        """Whether anybody still stands in it."""
        return self._last_end_s > now_s


def not_loaded(key: ModelKey, staffing: ModelAvailability, refusal: ModelNotLoaded) -> ModelNotLoaded:
    """The same refusal with the reason: whether workers are loading the model version, or why they cannot."""
    if staffing.loading:
        detail = f"{staffing.loading} worker(s) are loading {key}."
    elif staffing.failures:
        detail = f"Workers cannot load {key}: {foreign_words(ValueError(staffing.failures[0]))}"
    else:
        return refusal
    return ModelNotLoaded(detail, retry_after_s=refusal.retry_after_s)


def admit(
    traffic: Traffic,
    key: ModelKey,
    rows: int,
    wait_s: float,
    *,
    line: RetrySchedule,
    now_s: float,
    claim: Claim | None = None,
) -> None:
    """Return where the request may enter. `now_s` is monotonic. `claim`: None where no other owner asks.

    Raises ModelNotLoaded, ModelMismatch, Overloaded with the time after which this client would be admitted,
    or DeadlineExceeded if no worker could answer within the wait, however little it has to do.
    """
    if not traffic.holders and traffic.mismatch:
        raise ModelMismatch(traffic.mismatch, retry_after_s=NOT_LOADED_RETRY_S)
    if not traffic.holders:
        raise ModelNotLoaded(f"No live worker holds {key}.", retry_after_s=NOT_LOADED_RETRY_S)
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
        line_s = takes_s / max(LEAST_SHARE, traffic.own_share)
        turn_s = line.place_s(key, now_s, late_s, line_s, claim.owner if claim is not None else "")
        raise Overloaded(reason or None, retry_after_s=float(math.ceil(turn_s)))


def require_time(traffic: Traffic, key: ModelKey, rows: int, wait_s: float) -> None:
    """Raises DeadlineExceeded if the wait is shorter than the quickest answer that was ever measured."""
    at_best_s = rows / traffic.most_rows_per_s if traffic.most_rows_per_s else 0.0
    needed_s = max(traffic.least_call_s, at_best_s)
    if needed_s >= wait_s:
        enough_s = math.ceil(needed_s / FILLED) + 1
        what = "this row" if rows == 1 else f"these {rows} rows"
        raise DeadlineExceeded(
            f"{key} needs at least {needed_s:.1f} s for {what}, and this request waits {wait_s:g} s. Ask for "
            f"a longer wait (`Prefer: wait={enough_s}`, if TAKT_MAX_WAIT_S allows it), or submit a job."
        )


def beside_others(
    traffic: Traffic, claim: Claim, rows: int, takes_s: float, wait_s: float
) -> tuple[str, float]:
    """The reason why an owner's request may not enter, and by how many seconds it is too early; 0: it may.

    An owner within its share may go a little beyond (`SPARE`) what the others may: it is admitted to a queue
    that they have filled, and they are refused until the queue is below their own limit again. So an owner is
    held to its share only by owners that use theirs. A request that is larger than all permits does not enter
    alone, since the others would be refused meanwhile. A wait that is longer than the default gives no longer
    queue.
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


def is_within_share(traffic: Traffic, claim: Claim, rows: int, takes_s: float, wait_s: float) -> bool:
    """Whether the owner would have no more than its part of what may be in flight."""
    if claim.rows + rows > claim.share * traffic.max_inflight_rows:
        return False
    return not traffic.rows_per_s or claim.backlog_s + takes_s <= claim.share * usable_s(traffic, wait_s)


def usable_s(traffic: Traffic, wait_s: float) -> float:
    """How much work may lie before a request that waits so long, its own included. It is answered with its
    batch, so that the last batch of one worker counts as a whole."""
    batch_s = traffic.batch_rows * traffic.holders / traffic.rows_per_s
    return max(LEAST_FILLED * wait_s, FILLED * wait_s - batch_s)
