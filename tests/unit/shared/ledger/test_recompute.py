"""A committed chunk with a lost result: it runs again, or it fails for good."""

from __future__ import annotations

import pytest

from shared import keys
from shared.ledger import ChunkState, CommitOutcome, JobState, NewJob, Recomputed, new_job_id
from tests.support.ledgers import IRIS, Clients, House

LOST = "its stored result is lost"


def ended(house: House, *rows: int, failed: int = 0) -> tuple[str, list[str]]:
    """A job that has succeeded. → its id, the tokens of its results"""
    job_id = house.submit(*rows)
    for _ in rows:
        house.commit(house.claim(), failed=failed, first_errors=["x is missing"][:failed])
    return job_id, [chunk.token for chunk in house.chunks(job_id)]


def test_a_job_that_has_succeeded_runs_again_where_a_result_is_lost_and_ends_with_the_same_counts(
    house: House,
) -> None:
    job_id, tokens = ended(house, 10, 20, failed=1)
    before = house.read(job_id)
    assert house.worker.recompute(job_id, 1, tokens[1], LOST) is Recomputed.READY
    running = house.read(job_id)
    assert (running.state, running.rows_done, running.chunks_ended) == (JobState.RUNNING, 10, 1)
    assert (running.finished_at_ms, running.expires_at_ms) == (None, None)
    held = house.claim()
    assert (held.index, held.attempt) == (1, 1)
    assert house.commit(held, failed=1, first_errors=["x is missing"]) is CommitOutcome.COMMITTED
    after = house.read(job_id)
    assert (after.state, after.rows_succeeded, after.rows_failed) == (JobState.SUCCEEDED, 28, 2)
    assert after.chunks_ended == before.chunks_ended == 2


def test_of_several_callers_that_miss_a_result_the_first_alone_has_it_computed_again(house: House) -> None:
    job_id, (token,) = ended(house, 10)
    calls = [house.ask(house.gateway.recompute, job_id, 0, token, LOST) for _ in range(3)]
    assert calls == [Recomputed.READY, Recomputed.STALE, Recomputed.STALE]
    house.finish()
    assert house.worker.recompute(job_id, 0, token, LOST) is Recomputed.STALE
    assert house.read(job_id).rows_succeeded == 10


def test_a_result_of_a_job_that_nobody_knows_is_not_computed_again(house: House) -> None:
    assert house.worker.recompute("nobody", 0, "token", LOST) is Recomputed.STALE


def test_an_expired_job_does_not_come_back_for_a_lost_result(house: House, clients: Clients) -> None:
    job_id, (token,) = ended(house, 10)
    house.ask(house.gateway.delete, job_id)
    assert house.worker.recompute(job_id, 0, token, LOST) is Recomputed.STALE
    assert clients.threads.exists(keys.job(job_id)) == 0


def test_a_job_that_runs_again_is_not_expired_and_sends_its_webhook_at_its_new_end(
    house: House, clients: Clients
) -> None:
    job_id = house.submit(10, webhook_url="https://mes.example/hook", retention_ms=0)
    house.finish()
    (chunk,) = house.chunks(job_id)
    house.worker.recompute(job_id, 0, chunk.token, LOST)
    assert house.worker.expire_jobs() == []
    assert clients.threads.zscore(keys.webhooks(), job_id) is None
    house.finish()
    assert clients.threads.zscore(keys.webhooks(), job_id) is not None


@pytest.mark.parametrize("state", [JobState.CANCELED, JobState.CANCELING])
def test_a_lost_result_of_a_job_that_takes_no_work_fails_for_good(house: House, state: JobState) -> None:
    job_id = house.submit(10, 20)
    house.commit(house.claim())
    held = house.claim()
    token = house.chunks(job_id)[0].token
    house.ask(house.gateway.cancel, job_id)
    if state is JobState.CANCELED:
        house.worker.hand_back(IRIS, held, at_fault=False)
    assert house.read(job_id).state is state
    assert house.worker.recompute(job_id, 0, token, LOST) is Recomputed.FAILED
    chunk = house.chunks(job_id)[0]
    assert (chunk.state, chunk.failed, chunk.error) == (ChunkState.FAILED, 10, LOST)
    record = house.read(job_id)
    assert (record.state, record.rows_succeeded, record.rows_failed) == (state, 0, 10)


def test_a_result_that_is_lost_again_and_again_fails_for_good(house: House) -> None:
    job_id, _ = ended(house, 10)
    answers = []
    for _ in range(4):
        token = house.chunks(job_id)[0].token
        answers.append(house.worker.recompute(job_id, 0, token, LOST))
        house.finish()
    assert answers == [Recomputed.READY] * 3 + [Recomputed.FAILED]
    record = house.read(job_id)
    assert (record.state, record.rows_failed) == (JobState.SUCCEEDED, 10)


def test_a_paused_job_has_its_lost_result_computed_once_it_is_resumed(house: House) -> None:
    job_id = house.submit(10, 20)
    house.commit(house.claim())
    token = house.chunks(job_id)[0].token
    house.ask(house.gateway.pause, job_id)
    assert house.worker.recompute(job_id, 0, token, LOST) is Recomputed.READY
    assert house.worker.claim(IRIS) is None
    house.ask(house.gateway.resume, job_id, IRIS)
    house.finish()
    assert house.read(job_id).state is JobState.SUCCEEDED


def test_a_small_jobs_damaged_result_is_computed_again_from_its_rows_in_the_ledger(
    house: House, clients: Clients
) -> None:
    job = NewJob(id=new_job_id(), model="iris", version="1.0.0", digest="d", owner="anonymous")
    house.ask(house.gateway.submit, job, 3, b"rows")
    house.finish()
    clients.threads.hset(keys.job_inline(job.id), "result", b"damaged")
    (chunk,) = house.chunks(job.id)
    assert house.worker.recompute(job.id, 0, chunk.token, LOST) is Recomputed.READY
    assert house.ask(house.gateway.inline, job.id).result == b""
    assert house.claim().data == b"rows"


def test_a_chunk_that_is_given_up_says_why_it_was_last_handed_back(house: House) -> None:
    job_id = house.submit(10)
    for _ in range(3):
        house.worker.hand_back(IRIS, house.claim(), at_fault=True, reason="its stored rows are lost")
    assert house.worker.claim(IRIS) is None
    (chunk,) = house.chunks(job_id)
    assert (chunk.state, chunk.error) == (ChunkState.FAILED, "its stored rows are lost")
