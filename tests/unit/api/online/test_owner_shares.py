"""Owners share predictions under overload. Tests pure decisions with a simulated queue and clock."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from api.fleet.snapshot import Fleet
from api.online.admission_policy import ASKS_S, Owners, QueueClaim, RetrySchedule, Traffic, admit, claim_of
from api.online.inflight import InflightRequest, InflightRequests
from shared.errors import OverloadedError
from shared.keys import ModelKey
from tests.unit.api.online.test_admission_policy import KEY, OTHER, QUIET, worker

WAIT_S = 10.0
HALF = QueueClaim(owner="b", share=0.5, backlog_s=0.0, rows=0, default_wait_s=WAIT_S)


def enter(traffic: Traffic, claim: QueueClaim | None, *, rows: int = 1, wait_s: float = WAIT_S) -> None:
    admit(traffic, KEY, rows, wait_s, retries=RetrySchedule(), now_s=50.0, claim=claim)


def refused(traffic: Traffic, claim: QueueClaim | None, *, rows: int = 1, wait_s: float = WAIT_S) -> bool:
    try:
        enter(traffic, claim, rows=rows, wait_s=wait_s)
    except OverloadedError:
        return True
    return False


# 8 s of 10 may be filled: 85 % less half a second for the last batch
FILLED = replace(QUIET, backlog_s=8.0)


def test_an_owner_within_its_share_enters_a_queue_that_others_have_filled() -> None:
    assert refused(FILLED, None)
    assert not refused(FILLED, HALF)
    assert refused(FILLED, replace(HALF, backlog_s=4.0))
    assert refused(replace(FILLED, backlog_s=9.0), HALF), "beyond that nobody would be answered in time"


def test_an_owner_beyond_its_share_enters_as_long_as_there_is_room() -> None:
    assert not refused(replace(FILLED, backlog_s=5.5), replace(HALF, backlog_s=5.0))
    assert refused(replace(FILLED, backlog_s=5.7), replace(HALF, backlog_s=5.0)), "the rest is for the others"


def test_an_owner_beyond_its_share_gets_no_longer_queue_by_waiting_longer() -> None:
    assert not refused(FILLED, None, wait_s=60)
    assert refused(FILLED, replace(HALF, backlog_s=8.0), wait_s=60)


def test_a_part_of_the_rows_in_flight_is_kept_for_owners_within_their_share() -> None:
    almost = replace(QUIET, inflight_rows=950)
    assert not refused(almost, None)
    assert refused(almost, replace(HALF, rows=900))
    assert not refused(almost, HALF)
    assert refused(replace(QUIET, inflight_rows=1000), HALF)


def test_a_request_larger_than_the_limit_of_rows_enters_alone_only_without_other_owners() -> None:
    assert not refused(QUIET, None, rows=2000)
    assert refused(QUIET, HALF, rows=2000)


def test_an_unmeasured_model_is_bounded_by_rows_alone() -> None:
    unmeasured = replace(QUIET, rows_per_s=0.0, backlog_s=50.0)
    assert not refused(unmeasured, HALF)
    assert refused(replace(unmeasured, inflight_rows=1000), HALF)


def test_rejected_clients_do_not_delay_the_retries_of_another_owner() -> None:
    retries, full = RetrySchedule(), replace(QUIET, backlog_s=9.5)
    turns = []
    for owner in ["a"] * 20 + ["b"]:
        claim = replace(HALF, owner=owner, backlog_s=9.0)
        with pytest.raises(OverloadedError) as refusal:
            admit(full, KEY, 50, WAIT_S, retries=retries, now_s=50.0, claim=claim)
        turns.append(refusal.value.retry_after_s)
    assert turns[-1] == turns[0]
    assert (turns[0], turns[-2]) == (5, 14)


def test_an_owner_alone_has_everything_and_others_a_share_by_weight() -> None:
    owners = Owners()
    assert owners.share("a", 1.0, 0.0) == 1
    assert owners.share("b", 3.0, 1.0) == 0.75
    assert owners.share("a", 1.0, 1.0) == 0.25
    assert owners.share("a", 3.0, 1.0) == 0.5, "a new weight holds at once"


def test_an_owner_that_asks_no_more_has_no_share() -> None:
    owners = Owners()
    owners.share("b", 1.0, 0.0)
    assert owners.share("a", 1.0, ASKS_S) == 0.5
    assert owners.share("a", 1.0, ASKS_S + 2) == 1


class Unheard:
    """An outcome without a receiver."""

    def done(self) -> bool:
        return False

    def set_result(self, answered: object, /) -> None: ...

    def set_exception(self, error: Exception, /) -> None: ...


def opened(
    inflight: InflightRequests, key: ModelKey, rows: int, owner: str, *, until_s: float = WAIT_S
) -> InflightRequest:
    return inflight.open(
        key,
        [[]],
        [rows],
        outcome=Unheard(),
        since_s=0.0,
        deadline_s=until_s,
        left=lambda: False,
        owner=owner,
    )


def test_what_an_owner_has_is_the_work_of_all_models_that_share_the_workers() -> None:
    inflight, fleet = InflightRequests(), Fleet(workers=(worker("w:1", iris=100.0, quality=10.0),))
    first = opened(inflight, KEY, 50, "a")
    opened(inflight, OTHER, 20, "a")
    opened(inflight, KEY, 70, "b")
    claim = claim_of("a", 0.5, KEY, fleet, inflight, default_wait_s=WAIT_S)
    assert (claim.backlog_s, claim.rows) == (2.5, 70)
    inflight.fail(first, OverloadedError())
    assert claim_of("a", 0.5, KEY, fleet, inflight, default_wait_s=WAIT_S).rows == 20


# -- a first-come, first-served queue ------------------------------------------------------------------------

RATE = 100.0


@dataclass
class Sent:
    owner: str
    rows: int
    at_s: float


@dataclass
class Lane:
    """A gateway in front of a worker, simulated in steps of 10 ms."""

    owners: Owners = field(default_factory=Owners)
    retries: RetrySchedule = field(default_factory=RetrySchedule)
    queue: deque[Sent] = field(default_factory=deque)
    answered: Counter[str] = field(default_factory=Counter)  # rows, in time
    asked: Counter[str] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)  # rows
    late: int = 0
    now_s: float = 0.0
    _served_rows: float = 0.0

    def ask(self, owner: str, rows: int, weight: float = 1.0) -> bool:
        self.asked[owner] += rows
        waiting, mine = self.waiting.total(), self.waiting[owner]
        share = self.owners.share(owner, weight, self.now_s)
        claim = None if share == 1 else QueueClaim(owner, share, mine / RATE, mine, WAIT_S)
        traffic = replace(QUIET, backlog_s=waiting / RATE, inflight_rows=waiting)
        try:
            admit(traffic, KEY, rows, WAIT_S, retries=self.retries, now_s=self.now_s, claim=claim)
        except OverloadedError:
            return False
        self.queue.append(Sent(owner, rows, self.now_s))
        self.waiting[owner] += rows
        return True

    def step(self) -> None:
        self.now_s += 0.01
        self._served_rows += RATE * 0.01
        while self.queue and self.queue[0].rows <= self._served_rows:
            sent = self.queue.popleft()
            self._served_rows -= sent.rows
            self.waiting[sent.owner] -= sent.rows
            if self.now_s - sent.at_s <= WAIT_S:
                self.answered[sent.owner] += sent.rows
            else:
                self.late += 1


def test_the_few_requests_of_an_owner_are_answered_during_another_owners_flood() -> None:
    lane, flood = Lane(), 64
    for step in range(6_000):
        for _ in range(flood - lane.waiting["a"] // 50):
            lane.ask("a", 50)
        if step >= 2_000 and step % 20 == 0:  # the flood was there before
            lane.ask("b", 1)
        lane.step()
    assert lane.late == 0
    assert lane.answered["b"] + lane.waiting["b"] >= 0.99 * lane.asked["b"]
    assert lane.answered["a"] + lane.answered["b"] > 0.98 * RATE * lane.now_s


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_two_floods_are_answered_by_weight(weight: float) -> None:
    lane = Lane()
    for step in range(10_000):
        if step == 2_500:
            lane.answered.clear()
        for _ in range(8):
            lane.ask("a", 5)
        lane.ask("b", 5, weight)
        lane.step()
    assert lane.late == 0
    assert lane.answered["b"] / lane.answered["a"] == pytest.approx(weight, rel=0.15)


def test_a_single_owner_is_admitted_as_without_owners() -> None:
    lane = Lane()
    while lane.ask("a", 1):
        pass
    assert sum(sent.rows for sent in lane.queue) == 800
