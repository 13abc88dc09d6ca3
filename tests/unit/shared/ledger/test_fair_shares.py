"""Owners share a model version's workers by weight, and each stays within its limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from shared import keys
from shared.api_keys import Share, encode_share
from shared.errors import TooManyJobsError
from shared.ledger import Claim, NewJob, new_job_id
from tests.support.ledgers import IRIS, Clients, House


def give(house: House, owner: str, share: Share) -> None:
    house.clients.threads.hset(keys.access_shares(), owner, encode_share(share))


def small(owner: str) -> NewJob:
    return NewJob(id=new_job_id(), model="iris", version="1.0.0", digest="d", owner=owner)


def owner_of(house: House, held: Claim) -> str:
    return house.read(held.job_id).owner


def served(house: House, chunks: int) -> list[str]:
    """Claim and commit chunks. → their owners"""
    owners = []
    for _ in range(chunks):
        held = house.claim()
        owners.append(owner_of(house, held))
        house.commit(held)
    return owners


def test_a_job_behind_a_hundred_of_another_owner_gets_every_second_chunk(house: House) -> None:
    for _ in range(100):
        house.submit(10, owner="a")
    served(house, 20)
    house.submit(*[10] * 10, owner="b")
    assert Counter(served(house, 20)) == {"a": 10, "b": 10}


def test_an_owners_jobs_share_its_part_by_priority(house: House) -> None:
    for _ in range(50):
        house.submit(10, owner="a")
    low, high = (
        house.submit(*[10] * 50, owner="b", priority=0),
        house.submit(*[10] * 50, owner="b", priority=4),
    )
    claims = [house.claim() for _ in range(24)]
    counts = Counter(held.job_id for held in claims)
    assert (counts[low], counts[high]) == (2, 10)


def test_an_owner_of_weight_three_gets_three_rows_for_one(house: House) -> None:
    give(house, "a", Share(weight=3))
    for owner in ("a", "b"):
        house.submit(*[10] * 100, owner=owner)
    assert Counter(served(house, 40)) == {"a": 30, "b": 10}


def test_a_new_weight_holds_from_the_next_claim_on(house: House) -> None:
    for owner in ("a", "b"):
        house.submit(*[10] * 100, owner=owner)
    served(house, 10)
    give(house, "b", Share(weight=4))
    assert Counter(served(house, 50)) == {"a": 10, "b": 40}


def test_an_owner_that_comes_back_is_owed_one_chunk_and_nothing_for_the_time_between(house: House) -> None:
    house.submit(*[10] * 500, owner="a")
    house.submit(10, owner="b")
    served(house, 300)
    house.submit(*[10] * 100, owner="b")
    assert Counter(served(house, 20)) == {"a": 9, "b": 11}


def test_an_owner_that_leaves_and_returns_keeps_what_it_was_served_in_advance(house: House) -> None:
    house.submit(*[10] * 100, owner="a")
    house.submit(10, 1000, owner="b")
    served(house, 4)
    house.submit(10, owner="b")
    assert Counter(served(house, 90)) == {"a": 90}


def test_small_chunks_are_claimed_together_as_long_as_the_order_has_one_next(house: House) -> None:
    give(house, "b", Share(weight=2))
    for owner in ("a", "b"):
        for _ in range(9):
            house.ask(house.gateway.submit, small(owner), 1, b"rows")
    claims = house.worker.claim_some(IRIS, most=12, most_rows=100)
    assert Counter(owner_of(house, held) for held in claims) == {"a": 4, "b": 8}


def test_an_owner_runs_no_more_rows_than_its_limit_and_others_go_on(house: House) -> None:
    give(house, "a", Share(max_running_rows=25))
    house.submit(*[10] * 50, owner="a")
    house.submit(*[10] * 50, owner="b")
    claims = [house.claim() for _ in range(10)]
    assert Counter(owner_of(house, held) for held in claims) == {"a": 2, "b": 8}
    house.commit(next(held for held in claims if owner_of(house, held) == "a"))
    assert owner_of(house, house.claim()) == "a"


def test_rows_of_all_model_versions_count_together(house: House) -> None:
    give(house, "a", Share(max_running_rows=10))
    house.submit(10, owner="a")
    house.submit(10, owner="a", model="quality")
    held = house.claim()
    quality = keys.model_key("quality", "1.0.0")
    assert house.worker.claim(quality) is None
    (standing,) = house.ask(house.gateway.line, quality, most=10).owners
    assert standing.at_limit
    assert house.worker.ready() == {}
    house.commit(held)
    assert house.worker.ready() == {quality: 1}
    assert house.worker.claim(quality) is not None


def test_a_chunk_that_is_larger_than_the_limit_runs_alone(house: House) -> None:
    give(house, "a", Share(max_running_rows=5))
    house.submit(100, 1, owner="a")
    held = house.claim()
    assert house.worker.claim(IRIS) is None
    house.commit(held)
    assert house.claim().rows == 1


@pytest.mark.parametrize("way", ["commit", "hand_back"])
def test_no_doorbell_is_sent_for_an_owner_at_its_limit_and_one_does_as_soon_as_it_may(
    house: House, way: str
) -> None:
    give(house, "a", Share(max_running_rows=20))
    house.submit(*[10] * 4, owner="a")
    other = house.submit(10, owner="b")
    first, second, third = (house.claim() for _ in range(3))
    of_b = next(held for held in (first, second, third) if held.job_id == other)
    of_a = next(held for held in (first, second, third) if held.job_id != other)
    house.notified.clear()
    house.commit(of_b)
    assert (house.notified, house.worker.ready()) == ([], {})
    if way == "commit":
        house.commit(of_a)
    else:
        house.worker.hand_back(IRIS, of_a, at_fault=False)
    assert house.notified == [(IRIS, 1)]
    assert house.worker.ready()


def test_rows_of_a_worker_that_died_no_longer_run(clients: Clients) -> None:
    house, dying = House(clients), House(clients, lease_s=0)
    give(house, "a", Share(max_running_rows=10))
    house.submit(10, 10, owner="a")
    dying.claim()
    house.worker.expire_leases()
    assert house.claim().attempt == 2
    assert house.worker.claim(IRIS) is None


def test_a_limit_that_is_taken_away_holds_nothing_back(house: House) -> None:
    give(house, "a", Share(max_running_rows=1))
    house.submit(10, 10, owner="a")
    house.claim()
    assert house.worker.claim(IRIS) is None
    give(house, "a", Share())
    assert house.worker.claim(IRIS) is not None


def test_an_owner_with_as_many_jobs_as_it_may_have_gets_one_more_when_one_ends(house: House) -> None:
    give(house, "a", Share(max_jobs=2))
    house.submit(10, owner="a")
    house.ask(house.gateway.submit, small("a"), 1, b"rows")
    with pytest.raises(TooManyJobsError, match="2 jobs"):
        house.submit(10, owner="a")
    with pytest.raises(TooManyJobsError, match="2 jobs"):
        house.ask(house.gateway.submit, small("a"), 1, b"rows")
    house.submit(10, owner="b")
    house.finish()
    house.submit(10, owner="a")


def test_jobs_that_another_version_ended_do_not_count(house: House) -> None:
    """The previous version does not know `open_jobs`."""
    give(house, "a", Share(max_jobs=1))
    job_id = house.submit(10, owner="a")
    house.finish()
    house.clients.threads.zadd(keys.open_jobs("a"), {job_id: 1, "forgotten": 2})
    house.submit(10, owner="a")


def test_a_share_that_cannot_be_read_is_the_default(house: House) -> None:
    house.clients.threads.hset(keys.access_shares(), "a", "{no json")
    for owner in ("a", "b"):
        house.submit(*[10] * 10, owner=owner)
    assert Counter(served(house, 10)) == {"a": 5, "b": 5}


# -- the previous version, which knows only `active` ---------------------------------------------------------


def forget_owners(house: House, owners: Sequence[str]) -> None:
    """Keep only the keys of the previous version."""
    lines = [keys.owner_active(IRIS, owner) for owner in owners]
    house.clients.threads.delete(keys.owners(IRIS), keys.placed(IRIS), keys.fair_times(IRIS), *lines)


def test_jobs_of_the_version_before_are_shared_between_their_owners(house: House) -> None:
    for _ in range(250):
        house.submit(10, owner="a")
    house.submit(*[10] * 10, owner="b")
    forget_owners(house, ["a", "b"])
    assert house.worker.ready(most=4)
    claimed = served(house, 30)
    assert claimed.count("b") == 10
    house.finish()
    assert not house.clients.threads.exists(keys.active(IRIS), keys.owners(IRIS), keys.placed(IRIS))


def test_a_new_job_waits_for_those_that_the_version_before_has_served_less(house: House) -> None:
    """A job of the same owner enters at the clock of the owner's jobs, not at 0."""
    old = house.submit(*[10] * 20, owner="a")
    served(house, 10)
    forget_owners(house, ["a"])
    house.submit(*[10] * 20, owner="a")
    claims = [house.claim() for _ in range(10)]
    assert 4 <= sum(held.job_id == old for held in claims) <= 6


def test_a_job_that_the_version_before_adds_is_claimed_in_its_owners_turn(house: House) -> None:
    house.submit(*[10] * 10, owner="a")
    added = house.submit(10, owner="b")
    house.clients.threads.zrem(keys.owners(IRIS), "b")
    house.clients.threads.zrem(keys.owner_active(IRIS, "b"), added)
    house.clients.threads.hdel(keys.placed(IRIS), added)
    assert "b" in served(house, 2)


def test_a_job_that_the_version_before_paused_is_not_claimed(house: House) -> None:
    paused, other = house.submit(10, owner="a"), house.submit(10, owner="b")
    house.clients.threads.hset(keys.job(paused), "state", "paused")
    house.clients.threads.zrem(keys.active(IRIS), paused)
    assert house.claim().job_id == other
    assert house.worker.claim(IRIS) is None
    house.ask(house.gateway.resume, paused, IRIS)
    assert house.claim().job_id == paused


def test_a_job_is_found_although_another_was_taken_meanwhile(house: House) -> None:
    """As many jobs were added as removed: the next round of the reconciler finds the added job."""
    taken = house.submit(10, owner="a")
    house.submit(*[10] * 3, owner="c")
    added = house.submit(10, owner="b")
    house.clients.threads.zrem(keys.active(IRIS), taken)
    house.clients.threads.hdel(keys.placed(IRIS), added)
    house.clients.threads.delete(keys.owner_active(IRIS, "b"))
    house.clients.threads.zrem(keys.owners(IRIS), "b")
    assert house.worker.ready() == {IRIS: 4}
    assert "b" in served(house, 2)


def test_who_asks_sees_each_owners_first_jobs_of_a_long_line(house: House) -> None:
    for _ in range(30):
        house.submit(10, owner="a")
    job_id = house.submit(10, owner="b")
    line = house.ask(house.gateway.line, IRIS, most=10)
    assert Counter(standing.owner for standing in line.jobs) == {"a": 9, "b": 1}
    assert job_id in {standing.job_id for standing in line.jobs}
    assert {owner.owner: owner.jobs for owner in line.owners} == {"a": 30, "b": 1}


def test_a_chunk_of_a_deleted_job_runs_no_longer_than_its_lease(clients: Clients) -> None:
    house, leaving = House(clients), House(clients, lease_s=0)
    give(house, "a", Share(max_running_rows=10))
    job_id = leaving.upload(10, owner="a")
    leaving.claim()
    house.ask(house.gateway.fail_job, job_id, "internal_error", "")
    house.ask(house.gateway.delete, job_id)
    house.worker.expire_leases()
    house.submit(10, owner="a")
    assert house.worker.claim(IRIS) is not None
