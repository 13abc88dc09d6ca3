"""The timeline of a job: the recorded events, their callers, and the limits."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shared import keys
from shared.ledger import TimelineEvent, new_job_id
from shared.requeueing import requeueing_of
from tests.support.ledgers import IRIS, Clients, House


def timeline(house: House, job_id: str) -> list[dict[str, Any]]:
    """The recorded events without times and empty fields."""
    events = house.read(job_id).timeline
    assert [event.at_ms for event in events] == sorted(event.at_ms for event in events)
    return [
        {
            name: value
            for name, value in msgspec.structs.asdict(event).items()
            if value is not None and name != "at_ms"
        }
        for event in events
    ]


def names(house: House, job_id: str) -> list[str]:
    return [event.event for event in house.read(job_id).timeline]


def test_orders_are_recorded_with_their_caller_and_only_if_they_change_something(house: House) -> None:
    job_id = house.submit(10, 10)
    for _ in range(2):
        house.ask(house.gateway.pause, job_id, by="mes")
    for _ in range(2):
        house.ask(house.gateway.prioritize, job_id, 9, by="anna@example.org")
    for _ in range(2):
        house.ask(house.gateway.resume, job_id, IRIS, by="shift lead")
    for _ in range(2):
        house.ask(house.gateway.cancel, job_id, by="mes")
    assert timeline(house, job_id) == [
        {"event": "uploaded", "rows": 20, "chunks_total": 2},
        {"event": "paused", "by": "mes"},
        {"event": "priority_changed", "priority": 9, "by": "anna@example.org"},
        {"event": "resumed", "by": "shift lead"},
        {"event": "cancel_requested", "by": "mes"},
    ]


def test_an_order_without_a_known_caller_names_none(house: House) -> None:
    job_id = house.submit(10)
    house.ask(house.gateway.pause, job_id)
    assert timeline(house, job_id)[-1] == {"event": "paused"}


def test_a_small_job_records_nothing_that_its_record_states(house: House, clients: Clients) -> None:
    job = house.open()
    house.ask(house.gateway.cancel, job.id)
    small = msgspec.structs.replace(job, id=new_job_id())
    house.ask(house.gateway.submit, small, 5, b"rows")
    house.finish()
    assert house.read(small.id).timeline == ()
    assert not clients.threads.hexists(keys.job(small.id), "timeline")


def test_failed_attempts_are_recorded_with_worker_and_reason(house: House) -> None:
    job_id = house.submit(10)
    house.worker.hand_back(IRIS, house.claim(), at_fault=True, reason="the store is full")
    house.worker.hand_back(IRIS, house.claim(), at_fault=False)
    assert timeline(house, job_id)[1:] == [
        {"event": "attempt_failed", "chunk": 0, "attempt": 1, "worker": "w:1", "reason": "the store is full"}
    ]


def test_a_delayed_attempt_is_recorded_once(house: House) -> None:
    job_id = house.submit(10)
    house.worker.hand_back(IRIS, house.claim(), at_fault=True, reason="busy", delay_s=0.001)
    while not house.worker.ready():
        house.worker.expire_leases()
    assert names(house, job_id) == ["uploaded", "attempt_failed"]


def test_the_end_of_a_worker_and_the_end_of_all_attempts_are_recorded(clients: Clients) -> None:
    house = House(clients, lease_s=0, max_attempts=2)
    job_id = house.submit(10)
    for _ in range(2):
        assert house.worker._claim(IRIS, "", "", 1, 0)
        house.worker.expire_leases()
    assert house.worker.claim(IRIS) is None
    first, second, given_up = timeline(house, job_id)[1:]
    assert (first["event"], first["attempt"], first["worker"]) == ("attempt_failed", 1, "w:1")
    assert "its lease ended" in first["reason"]
    assert (second["event"], second["attempt"]) == ("attempt_failed", 2)
    assert (given_up["event"], given_up["chunk"], given_up["attempt"]) == ("chunk_failed", 0, 2)
    assert "tried 2 times" in given_up["reason"]


def test_each_tenth_of_the_chunks_is_recorded(house: House) -> None:
    job_id = house.submit(*[1] * 40)
    house.finish()
    ended = [event["chunks_ended"] for event in timeline(house, job_id) if event["event"] == "chunks_ended"]
    assert ended == list(range(4, 40, 4))


def test_a_lost_result_is_recorded(house: House) -> None:
    job_id = house.submit(10)
    house.finish()
    (chunk,) = house.chunks(job_id)
    house.worker.recompute(job_id, 0, chunk.token, "its stored result is lost")
    assert timeline(house, job_id)[-1] == {
        "event": "result_lost",
        "chunk": 0,
        "reason": "its stored result is lost",
    }


def test_a_requeued_chunk_is_recorded_with_its_caller(house: House, clients: Clients) -> None:
    from shared.dead_letters import DeadLetter, LetterKind

    exhausted = House(clients, max_attempts=0)
    job_id = house.submit(10, 10)
    held = house.claim()  # so that the job does not end with its other chunk
    assert exhausted.worker.claim(IRIS) is None
    letter = DeadLetter(
        id="1-0",
        at_ms=0,
        kind=LetterKind.CHUNK,
        place=f"{job_id}/1",
        model="",
        reason="",
        data=b"",
        size_bytes=0,
    )
    again = requeueing_of(letter, "lead")
    client: Any = clients.threads
    again.check(client.execute_command(*again.command))
    assert timeline(house, job_id)[-1] == {"event": "chunk_requeued", "chunk": 1, "by": "lead"}
    house.commit(held)


def test_a_timeline_is_bounded_and_keeps_its_beginning_and_its_newest_events(house: House) -> None:
    job_id = house.submit(10)
    for number in range(120):
        house.ask(house.gateway.prioritize, job_id, number % 2, by=f"key {number}")
    record = house.read(job_id)
    assert (len(record.timeline), record.timeline_omitted) == (100, 21)
    assert record.timeline[0].event == "uploaded"
    assert [event.by for event in record.timeline[1:50]] == [f"key {number}" for number in range(49)]
    assert [event.by for event in record.timeline[50:]] == [f"key {number}" for number in range(70, 120)]


@pytest.mark.parametrize("text", ["x" * 1000, "가나다" * 200, "é" * 151])
def test_a_long_reason_is_cut_between_two_characters(house: House, text: str) -> None:
    job_id = house.submit(10)
    house.worker.hand_back(IRIS, house.claim(), at_fault=True, reason=text)
    reason = house.read(job_id).timeline[-1].reason
    assert reason is not None
    assert reason.endswith("…")
    assert text.startswith(reason[:-1])
    assert 290 <= len(reason.encode()) <= 303


def test_a_record_of_an_earlier_version_is_read_without_a_timeline(house: House, clients: Clients) -> None:
    job_id = house.submit(10)
    clients.threads.hdel(keys.job(job_id), "timeline")
    assert house.read(job_id).timeline == ()
    house.ask(house.gateway.pause, job_id, by="mes")
    assert timeline(house, job_id) == [{"event": "paused", "by": "mes"}]


def test_events_of_a_newer_version_are_read(house: House, clients: Clients) -> None:
    job_id = house.submit(10)
    event = b'[{"event":"moved","at_ms":1,"by":"mes","to":"elsewhere"}]'
    clients.threads.hset(keys.job(job_id), "timeline", event)
    assert house.read(job_id).timeline == (TimelineEvent(event="moved", at_ms=1, by="mes"),)


def test_a_timeline_is_removed_with_its_job(house: House, clients: Clients) -> None:
    job_id = house.submit(10)
    house.ask(house.gateway.cancel, job_id, by="mes")
    house.ask(house.gateway.delete, job_id)
    assert not clients.threads.exists(keys.job(job_id))
