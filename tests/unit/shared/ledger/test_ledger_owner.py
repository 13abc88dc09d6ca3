"""Commands of a job's owner, and the life of a job after its end."""

from __future__ import annotations

import re
from typing import Any

import pytest

from shared import keys
from shared.errors import JobExpiredError, JobNotFoundError
from shared.ledger import ChunkState, CommitOutcome, FailedRows, JobRecord, JobState, Reservation
from tests.support.ledgers import IRIS, NEVER_S, Clients, House
from tests.support.polling import eventually


def test_a_canceled_job_ends_at_once_where_nothing_runs(house: House) -> None:
    job_id = house.submit(10)
    assert house.ask(house.gateway.cancel, job_id) is JobState.CANCELED
    assert house.worker.claim(IRIS) is None
    assert house.worker.ready() == {}


def test_a_job_is_canceling_until_its_last_chunk_stops_and_keeps_what_is_done(house: House) -> None:
    job_id = house.submit(10, 10, 10)
    first, second = house.claim(), house.claim()
    assert house.ask(house.gateway.cancel, job_id) is JobState.CANCELING
    assert house.worker.claim(IRIS) is None
    assert not house.worker.renew(first)
    assert house.commit(first) is CommitOutcome.COMMITTED
    assert house.read(job_id).state is JobState.CANCELING
    house.worker.hand_back(IRIS, second, at_fault=False)
    record = house.read(job_id)
    assert (record.state, record.rows_succeeded, record.chunks_leased) == (JobState.CANCELED, 10, 0)
    assert house.chunks(job_id)[0].state is ChunkState.DONE


def test_a_canceling_job_ends_although_its_worker_died(house: House, clients: Clients) -> None:
    job_id = house.submit(10)
    House(clients, lease_s=0).claim()
    house.ask(house.gateway.cancel, job_id)
    house.worker.expire_leases()
    assert house.read(job_id).state is JobState.CANCELED


def test_canceling_wins_over_a_failure_of_the_upload(house: House) -> None:
    job = house.open()
    house.append(job, 10)
    held = house.claim()
    assert house.ask(house.gateway.cancel, job.id) is JobState.CANCELING
    with pytest.raises(JobNotFoundError):
        house.append(job, 10)
    with pytest.raises(JobNotFoundError):
        house.ask(house.gateway.seal, job.id)
    assert not house.ask(house.gateway.fail_job, job.id, "job_not_found", "")
    house.commit(held)
    assert house.read(job.id).state is JobState.CANCELED


def test_a_canceled_upload_does_not_expire_later(clients: Clients) -> None:
    house = House(clients, lease_s=0)
    job = house.open()
    assert house.ask(house.gateway.cancel, job.id) is JobState.CANCELED
    assert house.worker.expire_leases().interrupted == []
    assert house.read(job.id).error is None


def test_canceling_twice_and_after_the_end_changes_nothing(house: House) -> None:
    job_id = house.submit(10)
    house.finish()
    before = house.read(job_id)
    assert house.ask(house.gateway.cancel, job_id) is JobState.SUCCEEDED
    assert house.read(job_id) == before


def test_a_paused_job_starts_nothing_and_goes_on_once_resumed(house: House) -> None:
    job_id = house.submit(10, 10)
    assert house.ask(house.gateway.pause, job_id) is JobState.PAUSED
    assert (house.worker.claim(IRIS), house.worker.ready()) == (None, {})
    house.notified.clear()
    assert house.ask(house.gateway.resume, job_id, IRIS) is JobState.QUEUED
    assert house.notified == [(IRIS, 2)]
    house.finish()
    assert house.read(job_id).state is JobState.SUCCEEDED


def test_what_runs_of_a_paused_job_is_handed_back_or_counts(house: House) -> None:
    job_id = house.submit(10, 10)
    stopped, done = house.claim(), house.claim()
    house.ask(house.gateway.pause, job_id)
    assert not house.worker.renew(stopped)
    house.worker.hand_back(IRIS, stopped, at_fault=False)
    assert house.commit(done) is CommitOutcome.COMMITTED
    assert house.worker.claim(IRIS) is None
    assert house.ask(house.gateway.resume, job_id, IRIS) is JobState.RUNNING
    assert house.claim().attempt == 1


def test_a_paused_job_whose_last_chunks_were_running_succeeds(house: House) -> None:
    job_id = house.submit(10)
    held = house.claim()
    house.ask(house.gateway.pause, job_id)
    house.commit(held)
    assert house.read(job_id).state is JobState.SUCCEEDED


def test_an_upload_is_not_paused_and_an_ended_job_not_resumed(house: House) -> None:
    job = house.open()
    assert house.ask(house.gateway.pause, job.id) is JobState.UPLOADING
    house.ask(house.gateway.cancel, job.id)
    assert house.ask(house.gateway.resume, job.id, IRIS) is JobState.CANCELED


def test_a_priority_counts_from_the_next_claim_on_also_while_uploading(house: House) -> None:
    low = house.open(priority=0)
    house.append(low, *[100] * 40)
    high = house.submit(*[100] * 40, priority=0)
    assert house.ask(house.gateway.prioritize, high, 9) is JobState.QUEUED
    assert house.ask(house.gateway.prioritize, low.id, 4) is JobState.UPLOADING
    claimed = [house.claim().job_id for _ in range(30)]
    assert claimed.count(high) == pytest.approx(2 * claimed.count(low.id), abs=3)


@pytest.mark.parametrize("call", ["cancel", "pause", "prioritize", "resume"])
def test_an_unknown_job_cannot_be_changed(house: House, call: str) -> None:
    rest: Any = {"prioritize": {"priority": 5}, "resume": {"key": IRIS}}.get(call, {})
    with pytest.raises(JobNotFoundError):
        house.ask(getattr(house.gateway, call), "nobody", **rest)


def test_a_pause_is_no_part_of_the_time_in_which_rows_ran(house: House) -> None:
    job_id = house.submit(10, 10)
    house.ask(house.gateway.pause, job_id)
    house.ask(house.gateway.resume, job_id, IRIS)
    assert house.read(job_id).paused_ms == 0, "nothing ran before it"
    house.commit(house.claim())
    house.ask(house.gateway.pause, job_id)
    paused = house.read(job_id)
    eventually(lambda: clock_ms(house) > (paused.paused_at_ms or 0) + 5)
    house.ask(house.gateway.resume, job_id, IRIS)
    resumed = house.read(job_id)
    assert (resumed.paused_at_ms, resumed.paused_ms > 5) == (None, True)


def clock_ms(house: House) -> float:
    seconds, micros = house.clients.threads.time()
    return float(seconds * 1000 + micros / 1000)


def test_a_worker_is_given_chunks_of_the_artifact_that_it_holds_alone(house: House) -> None:
    other = house.submit(10, digest="other")
    own = house.submit(10, 10, digest="own")
    held = [house.worker.claim(IRIS, digest="own") for _ in range(3)]
    assert [claim and claim.job_id for claim in held] == [own, own, None]
    assert house.claim().job_id == other


def test_a_job_fails_past_its_error_budget_and_names_its_first_errors(house: House) -> None:
    job_id = house.submit(10, 10, 10, max_errors=3)
    early, late = house.claim(), house.claim()
    house.commit(late, failed=1, first_errors=["row 11: empty"])
    assert house.read(job_id).state is JobState.RUNNING
    house.commit(early, failed=3, first_errors=["row 2: not a number", "row 7: too hot", 'row 9: "ü"'])
    record = house.read(job_id)
    assert (record.state, record.rows_failed) == (JobState.FAILED, 4)
    assert record.error is not None
    assert record.error.code == "too_many_errors"
    named = 'First: row 2: not a number; row 7: too hot; row 9: "ü"; row 11: empty'
    assert record.error.detail == f"4 rows failed, more than max_errors allows. {named}"
    assert house.worker.claim(IRIS) is None


def grouped(reason: str, rows: int, first: int) -> FailedRows:
    return FailedRows(key=reason, text=reason, rows=rows, first=f"row {first}")


def test_a_job_past_its_error_budget_says_how_many_rows_failed_for_each_reason(house: House) -> None:
    job_id = house.submit(10, 10, 10, max_errors=15)
    early, late, last = house.claim(), house.claim(), house.claim()
    house.commit(late, failed=8, first_errors=[grouped("x: is missing", 7, 11), grouped("y: bad", 1, 15)])
    house.commit(early, failed=5, first_errors=[grouped("x: is missing", 5, 2)])
    house.commit(last, failed=4, first_errors=[grouped("x: is missing", 2, 20), grouped("z", 1, 25)])
    error = house.read(job_id).error
    assert error is not None
    assert error.detail == (
        "17 rows failed, more than max_errors allows. "
        "First: 14 × x: is missing, first in row 2; row 15: y: bad; row 25: z; and 1 more"
    )


def test_a_job_past_its_error_budget_is_told_in_a_few_words_whatever_failed(house: House) -> None:
    job_id = house.submit(*[10] * 30, max_errors=299)
    for held in [house.claim() for _ in range(30)]:
        reasons = [grouped(f"{held.index}-{n} " + "y" * 180, 1, held.index * 10 + n) for n in range(10)]
        house.commit(held, failed=10, first_errors=reasons)
    error = house.read(job_id).error
    assert error is None or len(error.detail) < 2000
    record = house.clients.run(house.clients.gateway.hgetall(keys.job(job_id)))
    assert sum(map(len, record.values())) < 16_384


def test_chunks_that_were_given_up_say_why_their_job_failed(house: House) -> None:
    """No worker recorded a reason: the message must still be complete."""
    job_id = house.submit(10, max_errors=5)
    for _ in range(5):
        held = house.worker.claim(IRIS)
        if held is not None:
            house.worker.hand_back(IRIS, held, at_fault=True)
    error = house.read(job_id).error
    assert error is not None
    assert error.code == "too_many_errors"
    assert re.search(
        r"First: 10 × tried \d times \(TAKT_MAX_ATTEMPTS\); no worker finished it, first in chunk 0$",
        error.detail,
    )


def test_a_job_of_which_no_reason_is_known_says_only_how_many_rows_failed(house: House) -> None:
    job_id = house.submit(10, max_errors=1)
    house.commit(house.claim(), failed=2)
    error = house.read(job_id).error
    assert error is not None
    assert error.detail == "2 rows failed, more than max_errors allows."


def test_a_count_of_errors_fails_a_job_that_still_uploads(house: House) -> None:
    job = house.open(max_errors=0)
    house.append(job, 10, 10)
    house.commit(house.claim(), failed=1)
    assert house.read(job.id).state is JobState.FAILED
    with pytest.raises(JobNotFoundError):
        house.append(job, 10)
    assert house.worker.expire_leases().interrupted == []


def test_a_share_of_errors_is_judged_once_the_total_is_known(house: House) -> None:
    job = house.open(max_error_share=0.1)
    house.append(job, 10, 80)
    house.commit(house.claim(), failed=10)
    assert house.read(job.id).state is JobState.UPLOADING
    house.append(job, 9)
    assert house.ask(house.gateway.seal, job.id).state is JobState.FAILED


def test_a_share_of_errors_that_is_just_kept_lets_the_job_succeed(house: House) -> None:
    job_id = house.submit(10, 90, max_error_share=0.1)
    house.commit(house.claim(), failed=10)
    house.finish()
    assert house.read(job_id).state is JobState.SUCCEEDED


def test_chunks_that_are_given_up_count_against_the_budget(clients: Clients) -> None:
    dying, house = House(clients, lease_s=0, max_attempts=1), House(clients, max_attempts=1)
    failing = house.submit(10, 10, max_errors=5)
    dying.claim()
    dying.worker.expire_leases()
    sound = house.submit(7, 7, 7)
    assert [house.claim().job_id for _ in range(3)] == [sound] * 3
    assert house.worker.claim(IRIS) is None
    record = house.read(failing)
    assert (record.state, record.rows_failed) == (JobState.FAILED, 10)


def test_a_job_without_rows_succeeds_once_its_upload_is_whole(house: House) -> None:
    job = house.open(max_error_share=0.0)
    record = house.ask(house.gateway.seal, job.id)
    assert (record.state, record.rows_total) == (JobState.SUCCEEDED, 0)


def test_an_expired_job_leaves_a_tombstone_and_nothing_else(house: House, clients: Clients) -> None:
    job_id = house.submit(10, retention_ms=0)
    kept = house.submit(10, retention_ms=60_000)
    house.finish()
    assert house.worker.expire_jobs() == [job_id]
    with pytest.raises(JobExpiredError):
        house.read(job_id)
    with pytest.raises(JobExpiredError):
        house.ask(house.gateway.cancel, job_id)
    assert not house.ask(house.gateway.delete, job_id)
    assert [found.id for found in _newest(house, None)] == [kept]
    assert house.read(kept).expires_at_ms is not None
    house.worker.removed(job_id)
    assert _keys_of(clients, job_id) == [keys.job(job_id)]
    month_ms = 30 * 86_400_000
    assert month_ms - 60_000 < clients.threads.pttl(keys.job(job_id)) <= month_ms


def test_an_expired_job_comes_again_until_its_data_is_gone(house: House, clients: Clients) -> None:
    job_id = house.submit(10, retention_ms=0)
    house.finish()
    assert house.worker.expire_jobs() == [job_id]
    assert house.worker.expire_jobs() == []
    clients.threads.zadd(keys.expiring(), {job_id: 0})  # a minute later
    assert house.worker.expire_jobs() == [job_id]
    house.worker.removed(job_id)
    assert not clients.threads.zcard(keys.expiring())


def left_of_jobs(clients: Clients) -> set[bytes]:
    """All keys, except the counts of ended jobs by hour."""
    every: Any = clients.threads.keys("*")
    return {key for key in every if not key.startswith(keys.hour("").encode())}


def test_a_deleted_job_leaves_nothing(house: House, clients: Clients) -> None:
    job = house.open(idempotency="anonymous:k", webhook_url="https://mes.example/hook")
    house.ask(house.gateway.reserve, "anonymous:k", job.id)
    house.ask(house.gateway.bind, "anonymous:k", job.id, "d", keep_s=NEVER_S)
    house.append(job, 10)
    assert not house.ask(house.gateway.delete, job.id)
    house.ask(house.gateway.seal, job.id)
    house.finish()
    assert house.ask(house.gateway.delete, job.id)
    assert left_of_jobs(clients) == {keys.clocks().encode(), keys.fair_times(IRIS).encode()}


def test_a_commit_after_its_job_was_deleted_is_lost_and_brings_nothing_back(
    house: House, clients: Clients
) -> None:
    job_id = house.upload(10)
    held = House(clients, lease_s=0).claim()
    house.ask(house.gateway.fail_job, job_id, "internal_error", "")
    house.ask(house.gateway.delete, job_id)
    assert house.commit(held) is CommitOutcome.LOST
    assert not house.worker.renew(held)
    house.worker.hand_back(IRIS, held, at_fault=False)
    assert house.worker.expire_leases().interrupted == []
    assert left_of_jobs(clients) == {keys.clocks().encode(), keys.fair_times(IRIS).encode()}


def test_an_idempotency_key_is_leased_then_stands_for_a_body(house: House) -> None:
    assert house.ask(house.gateway.reserve, "k", "a") is None
    assert house.ask(house.gateway.reserve, "k", "a") is None
    assert house.ask(house.gateway.reserve, "k", "b") == Reservation(job_id="a", digest="")
    assert not house.ask(house.gateway.bind, "k", "b", "other", keep_s=NEVER_S)
    assert house.ask(house.gateway.bind, "k", "a", "sha", keep_s=NEVER_S)
    assert house.ask(house.gateway.reserve, "k", "b") == Reservation(job_id="a", digest="sha")


def test_an_idempotency_key_is_free_once_its_lease_ran_out(house: House, clients: Clients) -> None:
    hasty = House(clients, lease_s=0)
    hasty.ask(hasty.gateway.reserve, "k", "a")
    assert house.ask(house.gateway.reserve, "k", "b") is None


def test_an_upload_that_goes_on_keeps_its_idempotency_key(house: House, clients: Clients) -> None:
    hasty = House(clients, lease_s=5)
    job = hasty.open(idempotency="k")
    hasty.ask(hasty.gateway.reserve, "k", job.id)
    house.append(job)
    assert clients.threads.pttl(keys.idempotency("k")) > 5000


def test_a_bound_key_is_not_shortened_by_the_upload(house: House, clients: Clients) -> None:
    job = house.open(idempotency="k")
    house.ask(house.gateway.reserve, "k", job.id)
    house.ask(house.gateway.bind, "k", job.id, "sha", keep_s=10 * NEVER_S)
    house.append(job, 10)
    assert clients.threads.pttl(keys.idempotency("k")) > NEVER_S * 1000


@pytest.mark.parametrize("end", ["fail", "cancel", "expire"])
def test_an_upload_that_fails_frees_its_key(clients: Clients, end: str) -> None:
    house = House(clients, lease_s=0 if end == "expire" else NEVER_S)
    job = house.open(idempotency="k")
    keeper = House(clients)
    keeper.ask(keeper.gateway.reserve, "k", job.id)
    if end == "fail":
        house.ask(house.gateway.fail_job, job.id, "payload_too_large", "")
    elif end == "cancel":
        house.ask(house.gateway.cancel, job.id)
    else:
        house.worker.expire_leases()
    assert keeper.ask(keeper.gateway.reserve, "k", "another") is None


def test_an_upload_that_fails_leaves_the_key_of_another_alone(house: House, clients: Clients) -> None:
    job = house.open(idempotency="k")
    house.ask(house.gateway.reserve, "k", "another")
    house.ask(house.gateway.fail_job, job.id, "payload_too_large", "")
    assert house.ask(house.gateway.reserve, "k", "third") == Reservation(job_id="another", digest="")


def test_a_job_that_fails_later_keeps_its_key(house: House) -> None:
    job = house.open(idempotency="k", max_errors=0)
    house.ask(house.gateway.reserve, "k", job.id)
    house.ask(house.gateway.bind, "k", job.id, "sha", keep_s=NEVER_S)
    house.append(job, 10)
    house.ask(house.gateway.seal, job.id)
    house.commit(house.claim(), failed=1)
    assert house.ask(house.gateway.reserve, "k", "b") == Reservation(job_id=job.id, digest="sha")


def test_jobs_are_listed_newest_first_for_an_owner_or_all(house: House) -> None:
    mine = [house.open(owner="me").id for _ in range(3)]
    theirs = house.open(owner="them").id
    assert {found.id for found in _newest(house, "me")} == set(mine)
    assert {found.id for found in _newest(house, None)} == {*mine, theirs}
    created = [found.created_at_ms for found in _newest(house, None)]
    assert created == sorted(created, reverse=True)


def test_pages_of_jobs_lack_none_and_repeat_none(house: House) -> None:
    every = {house.open().id for _ in range(7)}
    seen: list[str] = []
    before_ms, after_id = None, None
    while page := house.ask(
        house.gateway.newest_heads, "anonymous", before_ms=before_ms, after_id=after_id, most=2
    ):
        seen += [found.id for found in page]
        before_ms, after_id = page[-1].created_at_ms, page[-1].id
    assert len(seen) == len(every)
    assert set(seen) == every


def test_each_turn_and_count_of_a_job_is_told(house: House, clients: Clients) -> None:
    job_id = house.submit(10, 20)
    house.commit(house.claim(), failed=1)
    house.ask(house.gateway.pause, job_id)
    house.ask(house.gateway.resume, job_id, IRIS)
    house.finish()
    entries: Any = clients.threads.xrange(keys.job_events(job_id))
    names = (b"state", b"rows_succeeded", b"rows_failed", b"rows_total")
    told = [tuple(fields[name].decode() for name in names) for _, fields in entries]
    assert told == [
        ("uploading", "0", "0", ""),
        ("queued", "0", "0", "30"),
        ("running", "0", "0", "30"),
        ("running", "9", "1", "30"),
        ("paused", "9", "1", "30"),
        ("running", "9", "1", "30"),
        ("running", "29", "1", "30"),
        ("succeeded", "29", "1", "30"),
    ]


def _newest(house: House, owner: str | None) -> list[JobRecord]:
    return house.ask(house.gateway.newest, owner, before_ms=None, most=10)


def _keys_of(clients: Clients, job_id: str) -> list[str]:
    found: Any = clients.threads.keys(f"*{job_id}*")
    names = [name.decode() for name in found]
    indexes = (keys.jobs(), keys.owner_jobs("anonymous"), keys.expiring(), keys.leases(), keys.webhooks())
    return names + [index for index in indexes if clients.threads.zscore(index, job_id) is not None]
