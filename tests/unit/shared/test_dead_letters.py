"""Dead letters: unreadable items are set aside once, can be shown, requeued and dropped, and block no
consumer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from shared import keys, messages
from shared.dead_letters import AsyncDeadLetters, DeadLetter, DeadLetters, LetterKind, Unreadable
from shared.errors import RecordUnreadableError
from shared.ledger import JobState
from shared.payloads import PayloadStore
from shared.worker_records import UnreadableHeartbeatError, WorkerRecord, WorkerState, read_heartbeat, to_hash
from stack import redis_url
from stack.operator_cli import dead_letters as program
from tests.support.ledgers import IRIS, Clients, House
from worker.broker.doorbell_messages import problem_of
from worker.chunks.reconciler import Reconciler

FOUND = Unreadable(kind=LetterKind.ENTRY, place="iris@1.0.0/1-0", reason="why", model=IRIS, data=b"\xc1\0")
RUNNER = CliRunner()


def letters(clients: Clients) -> list[DeadLetter]:
    return DeadLetters(clients.threads).newest(100)


def test_a_thing_is_set_aside_once_with_all_that_is_known_of_it(clients: Clients) -> None:
    aside = DeadLetters(clients.threads)
    assert aside.set_aside(FOUND)
    assert not clients.run(AsyncDeadLetters(clients.gateway).set_aside(FOUND))
    [letter] = aside.newest(10)
    assert letter == DeadLetter(
        **msgspec.structs.asdict(FOUND), id=letter.id, at_ms=letter.at_ms, size_bytes=2
    )
    assert aside.read(letter.id) == letter
    assert aside.drop(letter)
    assert aside.newest(10) == []
    assert aside.set_aside(FOUND), "what was dropped may come again"


def test_the_list_and_each_letter_are_bounded(clients: Clients) -> None:
    aside = DeadLetters(clients.threads)
    aside.set_aside(msgspec.structs.replace(FOUND, place="long", data=bytes(100_000), reason="x" * 9999))
    [letter] = aside.newest(1)
    assert (letter.size_bytes, len(letter.data), letter.whole) == (100_000, 65_536, False)
    assert len(letter.reason) == 500
    for number in range(1003):
        aside.set_aside(msgspec.structs.replace(FOUND, place=str(number)))
    assert clients.threads.xlen(keys.dead_letters()) == 1000
    assert aside.newest(1)[0].place == "1002"


def corrupt(house: House, job_id: str, index: int, text: str = "{") -> None:
    house.clients.threads.hset(keys.job_chunks(job_id), str(index), text)


@pytest.mark.parametrize("text", ["{", "3", '{"state":"ready"}', '{"state":"ready","rows":"5","attempts":0}'])
def test_a_chunk_whose_record_is_corrupt_fails_alone_and_is_set_aside(house: House, text: str) -> None:
    job_id, other = house.submit(10, 20, 30), house.submit(5)
    corrupt(house, job_id, 1, text)
    house.finish()
    record = house.read(job_id)
    assert (record.state, record.rows_succeeded, record.rows_failed) == (JobState.SUCCEEDED, 40, 20)
    assert house.read(other).rows_succeeded == 5
    [failed] = [chunk for chunk in house.chunks(job_id) if chunk.error]
    assert (failed.index, failed.rows) == (1, 20)
    [letter] = letters(house.clients)
    assert (letter.kind, letter.place, letter.model) == (LetterKind.CHUNK, f"{job_id}/1", IRIS)
    assert letter.data == text.encode()


def test_several_corrupt_chunk_records_end_their_job_and_nobody_elses(house: House) -> None:
    job_id, other = house.submit(10, 20, 30), house.submit(5)
    corrupt(house, job_id, 0)
    corrupt(house, job_id, 2)
    house.finish()
    record = house.read(job_id)
    assert record.state is JobState.FAILED
    assert record.error is not None
    assert record.error.code == RecordUnreadableError.code
    assert house.read(other).state is JobState.SUCCEEDED


def test_a_chunk_record_that_is_corrupt_under_a_lease_is_found_when_the_lease_ends(clients: Clients) -> None:
    house = House(clients, lease_s=0.0)
    job_id, other = house.submit(10, 20), house.submit(5)
    held = house.claim()
    corrupt(house, held.job_id, held.index)
    house.worker.expire_leases()
    house.finish()
    record = house.read(held.job_id)
    assert (record.state, record.rows_failed, record.chunks_leased) == (JobState.SUCCEEDED, held.rows, 0)
    assert {house.read(each).state for each in (job_id, other)} == {JobState.SUCCEEDED}


@pytest.mark.parametrize(
    ("field", "value"),
    [("priority", "high"), ("chunks_leased", "x"), ("rows_failed", "?"), ("retention_ms", "")],
)
def test_a_job_whose_record_is_corrupt_is_set_aside_and_others_run(
    house: House, field: str, value: str
) -> None:
    job_id, other = house.submit(10), house.submit(5)
    house.clients.threads.hset(keys.job(job_id), field, value)
    house.finish()
    assert house.read(other).state is JobState.SUCCEEDED
    house.clients.threads.hset(keys.job(job_id), "priority", "high")
    with pytest.raises(RecordUnreadableError):
        house.read(job_id)
    assert [record.id for record in house.ask(house.gateway.newest, None, before_ms=None, most=10)] == [other]
    assert job_id in {letter.place for letter in letters(house.clients)}


def test_a_job_of_a_newer_schema_is_passed_over_and_left_to_a_newer_worker(house: House) -> None:
    job_id, other = house.submit(10), house.submit(5)
    house.clients.threads.hset(keys.job(job_id), "schema", 3)
    house.finish()
    assert house.read(other).state is JobState.SUCCEEDED
    assert [letter.place for letter in letters(house.clients)] == [job_id]
    house.clients.threads.hset(keys.job(job_id), "schema", 1)
    house.finish()
    assert house.read(job_id).state is JobState.SUCCEEDED


def test_a_heartbeat_that_cannot_be_read_is_set_aside_once_and_others_are_seen(
    house: House, tmp_path: Path
) -> None:
    redis = house.clients.threads
    house.submit(10)
    record = WorkerRecord(
        id="w:1", host="", pid=1, device="cpu", state=WorkerState.SERVING, started_at="", models={}
    )
    newer = msgspec.json.encode(msgspec.structs.replace(record, schema=2))
    beats: dict[str | bytes, dict[Any, Any]] = {  # Any: redis-py's own types
        "new": {"record": newer},
        b"\xff": {"record": b"\xff"},
        "w:1": to_hash(record),
    }
    for worker_id, fields in beats.items():
        redis.zadd(keys.workers(), dict[Any, Any]({worker_id: 1}))
        name = worker_id.decode(errors="replace") if isinstance(worker_id, bytes) else worker_id
        redis.hset(keys.worker(name), mapping=fields)
    reconciler = Reconciler(
        redis, house.worker, PayloadStore(tmp_path.as_uri()), lambda key, count: None, "w:1", slots=2
    )
    reconciler.reconcile()
    reconciler.reconcile()
    found = {letter.place: letter.reason for letter in letters(house.clients)}
    assert found.keys() == {"new", "\ufffd"}
    assert found["new"] == "schema version 2; 1 to 1 are read here"


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", b'"', b"[" * 100_000])
def test_a_corrupt_heartbeat_is_told_as_such(data: bytes) -> None:
    with pytest.raises(UnreadableHeartbeatError):
        read_heartbeat({b"record": data})


def bell(**changes: object) -> bytes:
    usual = {
        "body": "W1siaXJpc0AxLjAuMCJdLCB7fSwge31d",  # [["iris@1.0.0"], {}, {}]
        "content-type": "application/json",
        "headers": {"task": "takt.claim", "id": "1"},
        "properties": {"delivery_tag": "t", "delivery_info": {}, "body_encoding": "base64"},
    }
    return json.dumps(usual | changes).encode()


def test_a_doorbell_is_recognized() -> None:
    assert problem_of(bell()) == ""


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (b"\xff\xfe", "not a doorbell"),
        (b"[" * 100_000, "not a doorbell"),
        (b"3", "not a doorbell"),
        (b"{}", "not a doorbell"),
        (bell(**{"content-type": "application/x-python-serialize"}), "content type"),
        (bell(headers={"task": "os.system", "id": "1"}), "task is 'os.system'"),
        (bell(body="%%%"), "not a doorbell"),
        (bell(body="W1tdLCB7fSwge31d"), "not a doorbell"),  # [[], {}, {}]
        (bell(body="W1t7fV0sIHt9LCB7fV0="), "not a doorbell"),  # [[{}], {}, {}]
    ],
)
def test_an_item_that_is_no_doorbell_is_recognized(item: bytes, said: str) -> None:
    assert said in problem_of(item)


@pytest.fixture
def shop(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Clients:
    """The commands, on this server."""
    monkeypatch.setattr(redis_url, "queue_url", lambda data: "redis://of-the-test")
    monkeypatch.setattr(redis_url, "connect", lambda url: clients.threads)
    return clients


def run(*words: str) -> tuple[int, str]:
    result = RUNNER.invoke(program, list(words))
    return result.exit_code, result.output


def test_letters_are_listed_shown_and_dropped(shop: Clients) -> None:
    assert run("list") == (0, "no dead letters\n")
    assert run("list", "--json") == (0, "")
    DeadLetters(shop.threads).set_aside(FOUND)
    [letter] = letters(shop)
    assert letter.id in run("list")[1]
    assert json.loads(run("list", "--json")[1])["place"] == FOUND.place
    code, text = run("show", letter.id)
    assert code == 0
    assert "why" in text
    assert "c1 00" in text
    assert run("drop", letter.id) == (0, f"{letter.id} dropped\n")
    assert letters(shop) == []
    for words in (("show", "nonsense"), ("drop", letter.id), ("requeue", "1-1")):
        code, text = run(*words)
        assert code == 1
        assert "no dead letter has the id" in text


def test_an_entry_and_a_doorbell_go_back_to_where_they_came_from(shop: Clients) -> None:
    aside = DeadLetters(shop.threads)
    aside.set_aside(FOUND)
    aside.set_aside(msgspec.structs.replace(FOUND, kind=LetterKind.DOORBELL, place="bell", data=b"ding"))
    assert run("requeue", *(letter.id for letter in aside.newest(2)))[0] == 0
    [(_, fields)] = shop.threads.xrange(keys.online(IRIS))  # type: ignore[misc]  # redis-py's own types
    assert fields == {messages.FIELD: FOUND.data}
    assert shop.threads.lrange(keys.offline_queue(IRIS), 0, -1) == [b"ding"]
    assert letters(shop) == []


def test_a_chunk_that_was_given_up_is_ready_again_and_counts_once(shop: Clients) -> None:
    house = House(shop)
    job_id = house.submit(10, 20)
    corrupt(house, job_id, 0)
    held = house.claim()
    assert house.read(job_id).rows_failed == 10
    [letter] = letters(shop)
    assert run("requeue", letter.id) == (0, f"{letter.id} requeued\n")
    assert house.read(job_id).rows_failed == 0
    house.commit(held)
    house.finish()
    record = house.read(job_id)
    assert (record.state, record.rows_succeeded, record.rows_failed) == (JobState.SUCCEEDED, 30, 0)


def test_what_cannot_be_put_back_says_why(shop: Clients) -> None:
    house, aside = House(shop), DeadLetters(shop.threads)
    job_id = house.submit(10)
    corrupt(house, job_id, 0)
    house.finish()
    aside.set_aside(msgspec.structs.replace(FOUND, data=bytes(70_000)))
    aside.set_aside(Unreadable(kind=LetterKind.REPLY, place="gw", reason="why"))
    told = [run("requeue", letter.id) for letter in aside.newest(3)]
    assert [code for code, _ in told] == [1, 1, 1]
    assert "its request has ended" in told[0][1]
    assert "65536 of its 70000 bytes" in told[1][1]
    assert "its job has ended" in told[2][1]
    assert len(letters(shop)) == 3
