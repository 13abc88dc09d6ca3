"""The scrubber finds corrupted objects, in a folder and in an object store, and has them computed again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from shared import keys
from shared.integrity import object_digest
from shared.ledger import Ended, JobState, NewJob, new_job_id
from shared.ledger.stored_objects import next_place
from shared.payloads import PayloadStore, result_path, rows_path
from tests.support.ledgers import IRIS, Clients, House
from tests.support.object_stores import CREDENTIALS, s3_server
from worker.chunks import scrubber
from worker.chunks.scrubber import Scrubber

FAST = 10**9
"""Bytes a second: tests do not wait for the rate limit."""


@pytest.fixture
def house() -> Iterator[House]:
    clients = Clients.of_fake()
    yield House(clients)
    clients.close()


@pytest.fixture
def store(tmp_path: Path) -> PayloadStore:
    return PayloadStore(tmp_path.as_uri())


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrubber, "LEAST_PAUSE_S", 0.0)
    monkeypatch.setattr(scrubber, "LOOK_AGAIN_S", 0.0)


def scrub(house: House, store: PayloadStore, *, worker: str = "w:1", every_s: float = 3600.0) -> Scrubber:
    return Scrubber(house.clients.threads, house.worker, store, worker, bytes_per_s=FAST, every_s=every_s)


def job(house: House, store: PayloadStore, *, chunks: int = 2) -> str:
    """A job with stored rows and results."""
    new = NewJob(id=new_job_id(), model="iris", version="1.0.0", digest="", owner="o")
    house.ask(house.gateway.open_job, new)
    for index in range(chunks):
        data = b"rows %d" % index
        store.put(rows_path(new.id, index), data)
        house.ask(house.gateway.append_chunks, new.id, new.key, [1], digests=[object_digest(data)])
    house.ask(house.gateway.seal, new.id)
    compute(house, store)
    return new.id


def compute(house: House, store: PayloadStore) -> None:
    """Run and commit all ready chunks, as a worker does."""
    while held := house.worker.claim(IRIS):
        result = b"result %d" % held.index
        store.put(result_path(held.job_id, held.index, held.token), result)
        ended = Ended(held=held, rows_succeeded=1, rows_failed=0, result_digest=object_digest(result))
        house.worker.commit_some(IRIS, [ended])


def token_of(house: House, job_id: str, index: int) -> str:
    return house.ask(house.gateway.chunks, job_id)[index].token


def state_of(house: House, job_id: str) -> JobState:
    return house.worker.read(job_id).state


def check_result(house: House, store: PayloadStore) -> None:
    """A corrupted result is found, computed again, and then found intact."""
    job_id = job(house, store)
    store.put(result_path(job_id, 1, token_of(house, job_id, 1)), b"resulT 1")
    found = scrub(house, store)
    with structlog.testing.capture_logs() as logs:
        found.take_turn()
    assert found.checked == {"intact": 3, "corrupt": 1, "missing": 0}
    (event,) = [one for one in logs if one["event"] == "object_not_intact"]
    assert (event["job_id"], event["chunk"], event["kind"], event["made"]) == (job_id, 1, "result", "ready")
    assert state_of(house, job_id) is JobState.RUNNING
    compute(house, store)
    assert state_of(house, job_id) is JobState.SUCCEEDED
    again = scrub(house, store)
    again.check_job(job_id)
    assert again.checked == {"intact": 4, "corrupt": 0, "missing": 0}


def test_a_changed_result_in_a_folder_is_computed_again(house: House, store: PayloadStore) -> None:
    check_result(house, store)


def test_a_changed_result_in_an_object_store_is_computed_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with s3_server() as server:
        check_result(house, PayloadStore(server.url("scrubbed")))


def test_a_result_that_is_gone_is_computed_again(house: House, store: PayloadStore) -> None:
    job_id = job(house, store)
    store.remove(result_path(job_id, 0, token_of(house, job_id, 0)))
    found = scrub(house, store)
    found.take_turn()
    assert found.checked["missing"] == 1
    assert state_of(house, job_id) is JobState.RUNNING


def test_changed_rows_are_reported_and_their_result_stands(house: House, store: PayloadStore) -> None:
    job_id = job(house, store)
    store.put(rows_path(job_id, 0), b"rowS 0")
    found = scrub(house, store)
    with structlog.testing.capture_logs() as logs:
        found.take_turn()
    assert found.checked["corrupt"] == 1
    (event,) = [one for one in logs if one["event"] == "object_not_intact"]
    assert (event["kind"], event["made"]) == ("rows", "reported")
    assert state_of(house, job_id) is JobState.SUCCEEDED


@pytest.mark.parametrize("field", ["rows", "result"])
def test_a_changed_value_in_the_ledger_is_found(house: House, store: PayloadStore, field: str) -> None:
    new = NewJob(id=new_job_id(), model="iris", version="1.0.0", digest="", owner="o")
    house.ask(house.gateway.submit, new, 1, b"rows", rows_digest=object_digest(b"rows"))
    held = house.worker.claim(IRIS)
    assert held is not None
    ended = Ended(
        held=held, rows_succeeded=1, rows_failed=0, result=b"result", result_digest=object_digest(b"result")
    )
    house.worker.commit_some(IRIS, [ended])
    house.clients.threads.hset(keys.job_inline(new.id), field, "changed")
    found = scrub(house, store)
    found.take_turn()
    assert found.checked == {"intact": 1, "corrupt": 1, "missing": 0}
    assert state_of(house, new.id) is (JobState.RUNNING if field == "result" else JobState.SUCCEEDED)


def test_objects_without_a_recorded_digest_are_left_alone(house: House, store: PayloadStore) -> None:
    job_id = house.submit(1)
    house.finish()
    chunk = house.ask(house.gateway.chunks, job_id)[0]
    assert chunk.rows_digest == ""
    store.remove(result_path(job_id, 0, chunk.token))
    found = scrub(house, store)
    found.take_turn()
    assert found.checked["intact"] == 0


def test_a_job_whose_upload_failed_has_nothing_to_check(house: House, store: PayloadStore) -> None:
    new = NewJob(id=new_job_id(), model="iris", version="1.0.0", digest="", owner="o")
    house.ask(house.gateway.open_job, new)
    house.ask(house.gateway.append_chunks, new.id, new.key, [1], digests=[object_digest(b"rows")])
    compute(house, store)
    house.ask(house.gateway.fail_job, new.id, "upload_interrupted", "It broke off.")
    store.remove_job(new.id)
    found = scrub(house, store)
    found.take_turn()
    assert sum(found.checked.values()) == 0


def test_one_worker_checks_at_a_time_and_another_goes_on_where_it_stopped(
    house: House, store: PayloadStore
) -> None:
    jobs = {job(house, store, chunks=1) for _ in range(3)}
    first, second = scrub(house, store, worker="a:1"), scrub(house, store, worker="b:1")
    assert first.take_turn() == len(jobs)
    assert second.take_turn() == 0
    house.clients.threads.delete(keys.scrubber_lock())
    assert second.take_turn() == 0  # the pass has ended, and the next is not due
    assert next_place(house.clients.threads, None) is not None


def test_a_pass_begins_again_when_it_is_due(house: House, store: PayloadStore) -> None:
    job(house, store, chunks=1)
    often = scrub(house, store, every_s=0.0)
    assert [often.take_turn() for _ in range(3)] == [1, 1, 1]


def test_reading_keeps_to_its_rate(house: House, store: PayloadStore) -> None:
    job(house, store, chunks=1)
    slow = Scrubber(house.clients.threads, house.worker, store, "w:1", bytes_per_s=7, every_s=3600.0)
    waits: list[float] = []

    def waited(seconds: float) -> bool:
        waits.append(seconds)
        return False

    slow._stopping.wait = waited  # type: ignore[method-assign, assignment]
    slow.take_turn()
    assert sum(waits) == pytest.approx((len("rows 0") + len("result 0")) / 7, abs=0.5)
