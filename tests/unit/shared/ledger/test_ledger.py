"""The ledger's guarantees, on the fake server and on real servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import redis

from shared import keys
from shared.errors import JobNotFoundError, QueueUnavailableError
from shared.ledger import (
    NOTHING_INLINE,
    ChunkRecord,
    ChunkState,
    Claim,
    CommitOutcome,
    Ended,
    Inline,
    JobRecord,
    JobState,
    Ledger,
    NewJob,
    new_job_id,
)
from shared.ledger.lua_scripts import Transition
from tests.support.ledgers import IRIS, NEVER_S, Clients, House, beat

T = TypeVar("T")

IRIS_JOB: dict[str, Any] = {"model": "iris", "version": "1.0.0", "digest": "d"}
"""Fields of a new job (Any: of their types)."""


def test_a_job_exists_before_its_rows_do(house: House) -> None:
    job = house.open()
    record = house.read(job.id)
    assert (record.state, record.rows_total, record.rows_accepted) == (JobState.UPLOADING, None, 0)


def test_an_unknown_job_is_not_found(house: House) -> None:
    with pytest.raises(JobNotFoundError):
        house.read("nobody")


def test_chunks_run_before_the_upload_ends_and_the_job_ends_after_both(house: House) -> None:
    job = house.open()
    house.append(job, 10)
    assert house.commit(house.claim()) is CommitOutcome.COMMITTED
    assert house.read(job.id).state is JobState.UPLOADING
    assert house.ask(house.gateway.seal, job.id).state is JobState.SUCCEEDED


def test_chunks_that_complete_a_job_are_claimed_and_end_it_as_those_that_came_before(house: House) -> None:
    job = house.open()
    house.append(job, 10)
    record = house.ask(house.gateway.fill, job.id, job.key, [20, 5], first=1)
    assert record == house.read(job.id)
    assert (record.state, record.rows_total, record.chunks_total) == (JobState.QUEUED, 35, 3)
    assert house.notified[-1] == (job.key, 2)
    house.finish()
    assert house.read(job.id).state is JobState.SUCCEEDED
    with pytest.raises(JobNotFoundError):
        house.ask(house.gateway.fill, job.id, job.key, [1], first=3)


def test_chunks_do_not_complete_a_job_that_the_server_has_lost_chunks_of(house: House) -> None:
    job = house.open()
    with pytest.raises(QueueUnavailableError):
        house.ask(house.gateway.fill, job.id, job.key, [10], first=1)
    assert house.read(job.id).state is JobState.UPLOADING
    assert house.chunks(job.id) == []


def test_who_waits_for_a_jobs_end_is_given_its_chunks_only_then(house: House) -> None:
    def ended(**options: bool) -> tuple[JobRecord, list[ChunkRecord], Inline]:
        return house.ask(house.gateway.read_ended, job_id, **options)

    job_id = house.submit(10, 20)
    assert ended() == (house.read(job_id), [], NOTHING_INLINE)
    assert ended(partial=True) == (house.read(job_id), house.chunks(job_id), NOTHING_INLINE)
    house.finish()
    assert ended() == (house.read(job_id), house.chunks(job_id), NOTHING_INLINE)


def small_jobs(house: House, *rows: int, **fields: Any) -> list[str]:
    """Submit jobs of a chunk with rows in the ledger. → their ids"""
    jobs = [NewJob(id=new_job_id(), owner="anonymous", **(IRIS_JOB | fields)) for _ in rows]
    for job, count in zip(jobs, rows, strict=True):
        house.ask(house.gateway.submit, job, count, b"rows of " + job.id.encode())
    return [job.id for job in jobs]


def some(house: House, *, most: int = 9, most_rows: int = 64) -> list[Claim]:
    return house.worker.claim_some(IRIS, most=most, most_rows=most_rows)


def test_small_jobs_are_claimed_together_with_their_rows_each_under_a_token_of_its_own(house: House) -> None:
    jobs = small_jobs(house, 1, 2, 3)
    claims = some(house)
    assert sorted(held.job_id for held in claims) == sorted(jobs)
    assert all(held.data == b"rows of " + held.job_id.encode() for held in claims)
    assert len({held.token for held in claims}) == 3
    assert {house.read(job_id).state for job_id in jobs} == {JobState.RUNNING}
    assert some(house) == []


def test_no_more_is_claimed_together_than_is_asked_for(house: House) -> None:
    small_jobs(house, *[2] * 6)
    assert [len(some(house, most=3)), len(some(house, most_rows=4)), len(some(house))] == [3, 2, 1]


def test_small_and_stored_chunks_are_claimed_in_the_same_fair_order(house: House) -> None:
    def submit_small(first_letter: str) -> str:
        job = NewJob(id=first_letter * 32, owner="anonymous", **IRIS_JOB)
        house.ask(house.gateway.submit, job, 1, b"rows")
        return job.id

    stored = house.open(id="b" * 32)
    house.append(stored, 1, 1)
    small = [submit_small(letter) for letter in "acd"]  # jobs that tie go by their ids
    claimed = [[held.job_id for held in some(house)] for _ in range(4)]
    assert claimed == [small[:1], [stored.id], small[1:], [stored.id]]


def test_a_small_chunk_that_was_tried_before_is_claimed_alone(clients: Clients) -> None:
    house = House(clients, lease_s=0)
    small_jobs(house, 1, 1, 1)
    assert len(some(house)) == 3
    house.worker.expire_leases()
    again = [some(house) for _ in range(3)]
    assert [[held.attempt for held in claims] for claims in again] == [[2], [2], [2]]


def test_what_fences_one_of_several_commits_does_not_fence_the_others(house: House) -> None:
    small_jobs(house, 1, 1, 1)
    canceled, lost, good = some(house)
    house.ask(house.gateway.cancel, canceled.job_id)
    house.worker.hand_back(IRIS, lost, at_fault=True)
    claims = (canceled, lost, good)
    ended = [Ended(held=held, rows_succeeded=1, rows_failed=0, result=b"r") for held in claims]
    outcomes = house.worker.commit_some(IRIS, ended)
    assert outcomes == [CommitOutcome.COMMITTED, CommitOutcome.LOST, CommitOutcome.COMMITTED]
    states = [house.read(held.job_id).state for held in claims]
    assert states == [JobState.CANCELED, JobState.RUNNING, JobState.SUCCEEDED]
    assert house.worker.commit_some(IRIS, ended[2:]) == [CommitOutcome.REPEATED]
    kept = [house.ask(house.gateway.inline, held.job_id).result for held in claims]
    assert kept == [b"r", b"", b"r"]


def test_what_a_job_keeps_in_the_ledger_goes_with_it(house: House) -> None:
    (job_id,) = small_jobs(house, 1)
    house.finish()
    assert house.ask(house.gateway.inline, job_id).rows
    house.ask(house.gateway.delete, job_id)
    assert not house.clients.threads.exists(keys.job_inline(job_id))


def test_a_job_goes_from_queued_over_running_to_succeeded(house: House) -> None:
    job_id = house.submit(10, 20)
    assert house.read(job_id).state is JobState.QUEUED
    first, second = house.claim(), house.claim()
    assert house.read(job_id).state is JobState.RUNNING
    house.commit(first)
    house.commit(second, failed=3)
    record = house.read(job_id)
    assert (record.state, record.rows_total) == (JobState.SUCCEEDED, 30)
    assert (record.rows_succeeded, record.rows_failed) == (27, 3)
    assert record.started_at_ms is not None
    assert record.finished_at_ms is not None
    assert record.finished_at_ms >= record.started_at_ms >= record.created_at_ms


def test_every_chunk_is_claimed_once_and_in_order(house: House) -> None:
    house.submit(1, 2, 3)
    assert [house.claim().rows for _ in range(3)] == [1, 2, 3]
    assert house.worker.claim(IRIS) is None


def test_a_second_commit_counts_nothing_twice(house: House) -> None:
    job_id = house.submit(10)
    held = house.claim()
    assert [house.commit(held), house.commit(held)] == [CommitOutcome.COMMITTED, CommitOutcome.REPEATED]
    assert house.read(job_id).rows_succeeded == 10


def test_an_expired_lease_brings_its_chunk_back_and_fences_the_late_worker(clients: Clients) -> None:
    house = House(clients, lease_s=0)
    job_id = house.submit(10)
    late = house.claim()
    assert house.worker.expire_leases().interrupted == []
    current = house.claim()
    assert (current.index, current.attempt) == (late.index, 2)
    assert not house.worker.renew(late)
    assert house.commit(late) is CommitOutcome.LOST
    assert house.commit(current) is CommitOutcome.COMMITTED
    assert house.chunks(job_id)[0].token == current.token


def test_a_dead_workers_lease_ends_long_before_its_time_and_fences_it(clients: Clients) -> None:
    house = House(clients, grace_s=0)
    beat(clients.threads, "w:1")
    job_id = house.submit(10)
    dead = house.claim()
    house.worker.expire_leases()
    assert house.worker.claim(IRIS) is None
    clients.threads.delete(keys.worker("w:1"))
    house.worker.expire_leases()
    current = house.claim()
    assert (current.index, current.attempt) == (dead.index, 2)
    assert house.commit(dead) is CommitOutcome.LOST
    assert house.commit(current) is CommitOutcome.COMMITTED
    assert house.read(job_id).rows_succeeded == 10


def test_the_lease_of_a_worker_that_has_ended_for_certain_ends_at_once(clients: Clients) -> None:
    house = House(clients, grace_s=60)
    beat(clients.threads, "w:1")
    house.submit(10)
    dead = house.claim()
    house.worker.expire_leases(["w:2"])
    assert house.worker.claim(IRIS) is None
    house.worker.expire_leases(["w:1"])
    current = house.claim()
    assert (current.index, current.attempt) == (dead.index, 2)
    assert house.commit(dead) is CommitOutcome.LOST


class DeafWorker(Ledger):
    """A worker with a connection that breaks while the answer of a script is sent."""

    deaf_to: str

    def _run(self, transition: Transition[T]) -> T:
        answer = super()._run(transition)
        if transition.script == self.deaf_to:
            raise redis.exceptions.ConnectionError("nothing was heard of it")
        return answer


def deaf_worker(clients: Clients, deaf_to: str) -> DeafWorker:
    deaf = DeafWorker(clients.threads, lambda *_: None, worker="w:2", lease_s=NEVER_S, max_attempts=3)
    deaf.deaf_to = deaf_to
    return deaf


def test_a_chunk_whose_first_renewal_is_not_heard_of_is_run_all_the_same(clients: Clients) -> None:
    house = House(clients)
    job_id = house.submit(10)
    deaf = deaf_worker(clients, "renew")
    held = deaf.claim(IRIS)
    assert held is not None, "a lease that nobody uses would hold the chunk up"
    assert deaf.commit(IRIS, held, rows_succeeded=10, rows_failed=0) is CommitOutcome.COMMITTED
    assert house.read(job_id).rows_succeeded == 10


def test_a_claim_whose_answer_is_lost_holds_its_chunk_for_seconds_not_for_a_lease(clients: Clients) -> None:
    house = House(clients)
    house.submit(10)
    with pytest.raises(redis.exceptions.ConnectionError):
        deaf_worker(clients, "claim").claim(IRIS)
    # Any: redis-py's union of what RESP2 and RESP3 answer
    leases: Any = clients.threads.zrange(keys.leases(), 0, -1, withscores=True)
    [(_, ends_ms)] = leases
    seconds, _ = clients.threads.time()
    assert ends_ms / 1000 - seconds <= 4
    house.worker.expire_leases()
    assert house.worker.claim(IRIS) is None, "it may still be on its way"


def test_a_worker_whose_heartbeats_were_missing_keeps_its_lease_by_renewing_it(clients: Clients) -> None:
    house = House(clients, grace_s=NEVER_S / 2)
    house.submit(10)
    held = house.claim()

    def lease_ends_ms() -> float:
        return clients.threads.zscore(keys.leases(), f"{held.job_id}:{held.index}:{held.token}") or 0.0

    given_ms = lease_ends_ms()
    house.worker.expire_leases()
    left_ms = lease_ends_ms()
    assert house.worker.renew(held)
    assert left_ms < given_ms <= lease_ends_ms()
    assert house.commit(held) is CommitOutcome.COMMITTED


def test_a_renewed_lease_does_not_expire(house: House) -> None:
    house.submit(10)
    held = house.claim()
    assert house.worker.renew(held)
    house.worker.expire_leases()
    assert house.worker.claim(IRIS) is None


def test_attempts_past_the_limit_fail_the_chunk_with_its_reason(clients: Clients) -> None:
    house = House(clients, lease_s=0, max_attempts=2)
    job_id = house.submit(10, 5)
    for attempt in (1, 2):
        held = house.claim()
        assert (held.index, held.attempt) == (0, attempt)
        house.worker.expire_leases()
    survivor = house.claim()
    assert survivor.index == 1
    house.commit(survivor)
    record = house.read(job_id)
    failed, done = house.chunks(job_id)
    assert (record.state, record.rows_failed, record.rows_succeeded) == (JobState.SUCCEEDED, 10, 5)
    assert (failed.state, failed.failed) == (ChunkState.FAILED, 10)
    assert failed.error == "tried 2 times (TAKT_MAX_ATTEMPTS); no worker finished it"
    assert done.state is ChunkState.DONE


def test_a_worker_that_hands_back_is_not_blamed(house: House) -> None:
    house.submit(10)
    house.worker.hand_back(IRIS, house.claim(), at_fault=False)
    held = house.claim()
    assert held.attempt == 1
    house.worker.hand_back(IRIS, held, at_fault=True)
    assert house.claim().attempt == 2


def test_an_upload_that_breaks_off_fails_its_job(clients: Clients) -> None:
    house = House(clients, lease_s=0)
    job = house.open()
    house.append(job, 10)
    assert house.worker.expire_leases().interrupted == [job.id]
    record = house.read(job.id)
    assert record.error is not None
    assert (record.state, record.error.code) == (JobState.FAILED, "upload_interrupted")
    assert house.worker.claim(IRIS) is None
    with pytest.raises(JobNotFoundError):
        house.append(job, 10)


def test_a_small_job_is_not_starved_by_a_large_job(house: House) -> None:
    house.submit(*[1000] * 20)
    for _ in range(5):
        house.commit(house.claim())
    small = house.submit(10)
    assert small in {house.claim().job_id for _ in range(2)}


def test_a_large_job_is_not_starved_by_newcomers_beside_one_that_waits_for_its_upload(house: House) -> None:
    waiting = house.open()
    house.append(waiting, 1)
    house.commit(house.claim())
    large = house.submit(*[1000] * 20)
    for _ in range(10):
        house.commit(house.claim())
    house.submit(*[1000] * 20)
    assert [house.claim().job_id for _ in range(5)].count(large) == 2


def test_a_job_that_comes_back_is_not_served_in_advance(house: House) -> None:
    paused = house.submit(*[100] * 20)
    house.claim()
    house.ask(house.gateway.pause, paused)
    other = house.submit(*[100] * 20)
    for _ in range(10):
        house.claim()
    house.ask(house.gateway.resume, paused, IRIS)
    claimed = [house.claim().job_id for _ in range(7)]
    assert (claimed.count(paused), claimed.count(other)) == (4, 3)


def test_priority_is_a_weight(house: House) -> None:
    low, high = house.submit(*[100] * 30, priority=0), house.submit(*[100] * 30, priority=4)
    claimed = [house.claim().job_id for _ in range(30)]
    assert claimed.count(high) == pytest.approx(5 * claimed.count(low), abs=5)
    assert low in claimed


def test_a_job_that_failed_takes_no_commit(house: House) -> None:
    job_id = house.upload(10, 10)
    held = house.claim()
    assert house.ask(house.gateway.fail_job, job_id, "too_many_errors", "more than allowed")
    assert not house.ask(house.gateway.fail_job, job_id, "again", "")
    assert house.commit(held) is CommitOutcome.LOST
    assert house.read(job_id).state is JobState.FAILED


def test_a_commit_rings_while_anything_is_ready(house: House) -> None:
    house.submit(10, 10)
    house.notified.clear()
    house.commit(house.claim())
    assert house.notified == [(IRIS, 1)]
    house.commit(house.claim())
    assert house.notified == [(IRIS, 1)]


def test_work_that_comes_too_late_still_rings_for_others(house: House) -> None:
    canceled = house.upload(10, 10)
    late, later = house.claim(), house.claim()
    house.ask(house.gateway.fail_job, canceled, "internal_error", "")
    house.submit(10)
    house.notified.clear()
    assert house.commit(late) is CommitOutcome.LOST
    house.worker.hand_back(IRIS, later, at_fault=False)
    assert house.notified == [(IRIS, 1), (IRIS, 1)]


def test_an_upload_rings_once_for_each_chunk_but_not_for_thousands(house: House) -> None:
    job = house.open()
    house.append(job, 1)
    house.append(job, 1, 1)
    house.append(job)
    house.append(job, *[1] * 1000)
    assert house.notified == [(IRIS, 1), (IRIS, 2), (IRIS, 8)]


def test_what_runs_of_a_failed_job_is_let_go(house: House, clients: Clients) -> None:
    job_id = house.upload(10, 10, 10)
    committing, handing_back = house.claim(), house.claim()
    House(clients, lease_s=0).claim()
    house.ask(house.gateway.fail_job, job_id, "internal_error", "")
    assert not house.worker.renew(committing)
    house.commit(committing)
    house.worker.hand_back(IRIS, handing_back, at_fault=True)
    house.worker.expire_leases()
    assert house.read(job_id).chunks_leased == 0
    assert {chunk.state for chunk in house.chunks(job_id)} == {ChunkState.READY}
    assert not clients.threads.zcard(keys.leases())
    assert house.worker.claim(IRIS) is None


def test_a_model_version_may_have_any_name(house: House) -> None:
    job = house.open(model="m.x-1", version="1.0.0+cu%1{}:2")
    house.append(job, 5)
    assert house.worker.ready() == {job.key: 1}
    assert house.claim(job.key).job_id == job.id


@pytest.mark.parametrize("kind", ["chunks", "ready", "events"])
def test_what_spells_another_key_of_a_job_is_no_job(house: House, kind: str) -> None:
    job_id = house.submit(10)
    with pytest.raises(JobNotFoundError):
        house.read(f"{job_id}:{kind}")


def test_the_ready_chunks_of_every_model_version_are_known(house: House, clients: Clients) -> None:
    house.submit(1, 1, 1)
    assert house.worker.ready() == {IRIS: 3}
    while held := house.worker.claim(IRIS):
        house.commit(held)
    assert house.worker.ready() == {}
    assert not clients.threads.zcard(keys.leases())


def test_ready_chunks_are_counted_no_further_than_asked(house: House) -> None:
    for _ in range(5):
        house.submit(1, 1)
    assert house.worker.ready(most=4) == {IRIS: 4}
    assert house.worker.ready(most=3) == {IRIS: 4}
    assert house.worker.ready(most=100) == {IRIS: 10}


class _Interrupted(Ledger):
    """A worker's ledger: the job is paused or canceled before the worker receives its claim."""

    interrupt: Callable[[], object]

    def renew(self, held: Claim) -> bool:
        self.interrupt()
        return super().renew(held)


@pytest.mark.parametrize(("order", "state"), [("pause", JobState.PAUSED), ("cancel", JobState.CANCELED)])
def test_a_chunk_whose_job_is_stopped_as_it_is_claimed_is_handed_back_at_once(
    house: House, clients: Clients, order: str, state: JobState
) -> None:
    job_id = house.submit(10)
    ledger = _Interrupted(clients.threads, lambda *_: None, worker="w:1", lease_s=30.0, max_attempts=3)
    ledger.interrupt = lambda: house.ask(getattr(house.gateway, order), job_id)
    assert ledger.claim(IRIS) is None
    record, (chunk,) = house.read(job_id), house.chunks(job_id)
    assert (record.state, record.chunks_leased, chunk.attempts) == (state, 0, 0)
