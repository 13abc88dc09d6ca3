"""The engine's promises on the online lane, on real servers, with a model that is a Python function."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
import redis

from shared import keys, messages
from shared.columns import Array, Columns
from shared.dead_letters import DeadLetters, LetterKind
from shared.keys import model_key
from tests.support.engines import (
    BAD,
    Caller,
    Crashes,
    Doubling,
    beat,
    engine,
    entries,
    next_millisecond,
    predictor,
    take_and_die,
    with_group,
)
from tests.support.polling import eventually
from tests.support.servers import Server
from worker.execution.invalid_rows import InvalidRows
from worker.execution.slices import ChunkWork
from worker.online.stream import OnlineStream
from worker.predictors.golden_check import BrokenModelError

pytestmark = pytest.mark.integration


@pytest.fixture(params=["valkey", "redis7"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with server.client() as made:
        made.flushdb()
        yield made


@pytest.fixture
def caller(client: redis.Redis) -> Caller:
    return Caller(client)


def settled(client: redis.Redis, stream: str) -> bool:
    return client.xlen(stream) == 0 and client.xpending(stream, keys.WORKER_GROUP)["pending"] == 0


def test_a_lone_request_is_answered(server: Server, client: redis.Redis, caller: Caller) -> None:
    double = predictor(Doubling())
    with engine(server.url, double):
        assert caller.values(caller.send(double, 3.0)) == [6.0]
        eventually(lambda: settled(client, keys.online(double.key)))


def test_requests_that_gather_while_a_batch_runs_form_the_next(server: Server, caller: Caller) -> None:
    model = Doubling()
    model.gate.clear()
    double = predictor(model)
    with engine(server.url, double):
        first = caller.send(double, 0.0)
        assert model.running.wait(30)
        gathered = caller.send_all(double, [[float(i)] for i in range(11)])
        model.gate.set()
        caller.wait_for(first, *gathered)
    assert model.batches == [1, 8, 3]


def test_batches_form_across_gateways_and_each_gets_its_own_answers(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    model, other = Doubling(), Caller(client, "other:1")
    model.gate.clear()
    double = predictor(model)
    with engine(server.url, double):
        held = caller.send(double, 0.0)
        assert model.running.wait(30)
        mine, theirs = caller.send(double, 1.0), other.send(double, 2.0)
        model.gate.set()
        assert caller.values(held, mine) == [0.0, 2.0]
        assert other.values(theirs) == [4.0]
    assert model.batches == [1, 2]


def test_a_batch_is_filled_by_rows_not_by_requests(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    model = Doubling()
    double = predictor(model)
    with_group(client, double)
    ids = caller.send_all(double, [[1.0] * 5, [2.0] * 3, [3.0] * 4])
    with engine(server.url, double):
        caller.wait_for(*ids)
    assert model.batches == [8, 4]


def test_an_engine_is_handed_no_more_rows_than_a_batch_has_and_another_runs_the_rest(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    double = predictor(Doubling())
    max_rows = {double.key: double.spec.batching.max_rows}
    lanes = [OnlineStream(server.url, worker_id, max_rows, 20.0) for worker_id in ("w:1", "w:2", "w:3")]
    lanes[0].recover()
    five, three, more, full = caller.send_all(double, [[1.0] * 5, [2.0] * 3, [3.0], [4.0] * 8])
    assert [[found.entry.id for found in lane.read()] for lane in lanes] == [[five, three], [more], [full]]
    for lane in lanes:
        lane.close()


def test_batches_and_what_became_of_their_requests_are_counted(server: Server, caller: Caller) -> None:
    double = predictor(Doubling())
    ids = caller.send_all(double, [[1.0, 2.0], [BAD, 3.0, 4.0]])
    with engine(server.url, double) as started:
        caller.wait_for(*ids)
        served = started.served[double.key]
    assert (served.batches, served.batch_rows) == (1, 5)
    assert (served.counters.parts["answered"], served.counters.parts["failed"]) == (1, 1)
    assert (served.counters.online_rows["succeeded"], served.counters.online_rows["failed"]) == (2, 3)


def test_the_stream_with_the_oldest_head_goes_first(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    order: list[str] = []
    models = {name: predictor(_Noting(name, order), name) for name in ("one", "two", "three")}
    sent, ids = ["two", "three", "one"], []
    for name in sent:
        ids.append(caller.send(models[name], 1.0))
        next_millisecond(client)
    with engine(server.url, *models.values()):
        caller.wait_for(*ids)
    assert order == sent


def test_an_entry_past_its_deadline_is_dropped_without_a_run(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    model = Doubling()
    double = predictor(model)
    caller.send(double, 7.0, budget_ms=0)
    with engine(server.url, double):
        assert caller.values(caller.send(double, 1.0)) == [2.0]
        eventually(lambda: settled(client, keys.online(double.key)))
    assert sum(model.batches) == 1


def test_only_the_bad_request_of_a_batch_fails(server: Server, caller: Caller) -> None:
    double = predictor(Doubling())
    ids = caller.send_all(double, [[1.0], [BAD], [3.0]])
    with engine(server.url, double):
        good, bad, last = caller.wait_for(*ids)
    assert (good.columns, last.columns) == ([[2.0]], [[6.0]])
    assert bad.failure is not None
    assert bad.failure.code == "prediction_failed"


def test_a_sick_predictor_blames_no_request_and_ends_the_engine(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    crashes, double = Crashes(), predictor(Doubling(sick=True))
    caller.send(double, 1.0)
    with engine(server.url, double, crashes=crashes) as sick:
        eventually(lambda: not sick.is_alive())
    assert [type(error) for error in crashes.errors] == [BrokenModelError]
    with engine(server.url, predictor(Doubling()), worker_id="w:2"):
        assert caller.values(1) == [2.0]


def test_entries_of_a_dead_worker_are_claimed_and_run_alone(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    model = Doubling()
    double = predictor(model)
    ids = caller.send_all(double, [[1.0], [2.0], [3.0]])
    take_and_die(client, double)
    with engine(server.url, double):
        assert caller.values(*ids) == [2.0, 4.0, 6.0]
        eventually(lambda: len(client.xinfo_consumers(keys.online(double.key), keys.WORKER_GROUP)) == 1)
    assert model.batches == [1, 1, 1]


def test_entries_of_a_live_worker_are_left_to_it_until_its_batch_limit(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    double = predictor(Doubling())
    held = caller.send(double, 1.0)
    take_and_die(client, double, "alive:1")
    beat(client, "alive:1")
    with engine(server.url, double):
        caller.wait_for(caller.send(double, 2.0))
        assert held not in caller.answers
    with engine(server.url, double, worker_id="w:2", batch_limit_s=0.001):
        assert caller.values(held) == [2.0]


def test_an_entry_that_ends_every_worker_is_given_up_and_its_neighbours_are_not(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    double = predictor(Doubling())
    poison, neighbour = caller.send_all(double, [[1.0], [2.0]])
    take_and_die(client, double)
    first, _ = entries(client, keys.online(double.key))
    # another worker marked a run of the first on its own, and ended
    client.xclaim(keys.online(double.key), keys.WORKER_GROUP, "dead:2", 0, [first[0]], retrycount=2)
    with engine(server.url, double):
        given_up, good = caller.wait_for(poison, neighbour)
    assert good.columns == [[4.0]]
    assert given_up.failure is not None
    assert given_up.failure.code == "prediction_failed"
    assert "ended: the first ran it in a batch, the second alone" in given_up.failure.detail
    assert "(TAKT_BATCH_LIMIT_S)" in given_up.failure.detail


def test_a_lone_run_is_counted_before_it_begins(server: Server, client: redis.Redis, caller: Caller) -> None:
    model = Doubling()
    double = predictor(model)
    held = caller.send(double, 1.0)
    take_and_die(client, double)
    model.gate.clear()
    with engine(server.url, double):
        assert model.running.wait(30)
        pending = client.xpending_range(keys.online(double.key), keys.WORKER_GROUP, "-", "+", 10)
        assert [item["times_delivered"] for item in pending] == [2]
        model.gate.set()
        caller.wait_for(held)


def test_an_entry_taken_back_by_its_gateway_never_runs(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    model = Doubling()
    double = predictor(model)
    caller.send(double, 5.0)
    client.xdel(keys.online(double.key), entries(client, keys.online(double.key))[0][0])
    with engine(server.url, double):
        caller.wait_for(caller.send(double, 1.0))
    assert sum(model.batches) == 1


def test_an_unreadable_entry_is_set_aside_and_stops_nobody(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    double = predictor(Doubling())
    client.xadd(keys.online(double.key), {"m": b"\xc1 not an entry", "r": 1})
    with engine(server.url, double):
        assert caller.values(caller.send(double, 1.0)) == [2.0]
        eventually(lambda: settled(client, keys.online(double.key)))


def test_an_entry_whose_columns_are_not_the_models_fails_alone(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    double, odd = predictor(Doubling()), predictor(Doubling(), inputs=[_STRING], golden=[])
    with_group(client, double)
    ids = [*caller.send_all(double, [[1.0]]), caller.send(odd, "text"), *caller.send_all(double, [[3.0]])]
    with engine(server.url, double):
        first, wrong, last = caller.wait_for(*ids)
    assert (first.columns, last.columns) == ([[2.0]], [[6.0]])
    assert wrong.failure is not None


def test_answers_to_a_gateway_that_is_gone_leave_nothing_behind(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    double = predictor(Doubling())
    caller.send(double, 1.0)
    client.delete(keys.reply(caller.name))
    with engine(server.url, double):
        eventually(lambda: settled(client, keys.online(double.key)))
    assert not client.exists(keys.reply(caller.name))


def test_answers_wait_while_the_servers_memory_is_full_and_none_is_lost(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    model = Doubling()
    model.gate.clear()
    double = predictor(model)
    with engine(server.url, double):
        held = caller.send(double, 1.0)
        assert model.running.wait(30)
        client.config_set("maxmemory", 1)
        try:
            model.gate.set()
            eventually(lambda: model.batches)
            pending = client.xpending(keys.online(double.key), keys.WORKER_GROUP)["pending"]
            assert (pending, held in caller.answers) == (1, False)
        finally:
            client.config_set("maxmemory", 0)
        assert caller.values(held) == [2.0]


def test_an_engine_without_models_waits_and_stops(server: Server) -> None:
    with engine(server.url) as idle:
        assert idle.is_alive()


def test_stopping_answers_what_is_in_hand(server: Server, caller: Caller) -> None:
    model = Doubling()
    model.gate.clear()
    double = predictor(model)
    with engine(server.url, double) as stopping:
        held = caller.send(double, 1.0)
        assert model.running.wait(30)
        stopping.stop()
        model.gate.set()
        assert caller.values(held) == [2.0]


def test_a_chunk_that_comes_while_the_engine_stops_leaves_the_running_chunk_to_it(server: Server) -> None:
    model, crashes = Doubling(), Crashes()
    model.gate.clear()
    double = predictor(model)
    running, late = (
        ChunkWork(double, name, {"x": np.arange(100.0)}, InvalidRows(0)) for name in ("j/0", "j/1")
    )
    with engine(server.url, double, crashes=crashes) as stopping:
        stopping.submit(running)
        assert model.running.wait(30)
        stopping.stop()
        stopping.submit(late)
        assert not running.ended.is_set()  # its thread would hand it back in the midst of a slice
        model.gate.set()
        assert running.ended.wait(30)
        assert late.ended.wait(30)
    assert crashes.errors == []
    assert 0 < running.position < running.rows
    assert late.position == 0


def test_a_wake_up_that_the_server_sees_before_the_read_is_not_lost(
    server: Server, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read and its unblocking come by two connections, and either may be first."""
    lane = OnlineStream(server.url, "w:1", {model_key("double", "1.0.0"): 8}, 20.0)
    lane.recover()
    unblock, answers = redis.Redis.client_unblock, list[object]()

    def too_early(self: redis.Redis, client_id: int) -> object:
        answers.append(unblock(self, client_id) if answers else 0)
        return answers[-1]

    monkeypatch.setattr(redis.Redis, "client_unblock", too_early)
    lane.wake()
    assert lane.wait() == []
    assert len(answers) > 1
    lane.close()


def test_a_chunk_that_comes_after_the_end_is_handed_back(server: Server) -> None:
    double = predictor(Doubling())
    with engine(server.url, double) as ended:
        pass
    work = ChunkWork(double, "j/0", {"x": np.arange(3.0)}, InvalidRows(0))
    ended.submit(work)
    assert work.ended.is_set()
    assert work.over
    assert not work.complete


class _Noting(Doubling):
    """Writes down when it is called."""

    def __init__(self, name: str, order: list[str]) -> None:
        super().__init__()
        self._name, self._order = name, order

    def __call__(self, columns: Columns) -> Array:
        self._order.append(self._name)
        return super().__call__(columns)


_STRING = {"name": "x", "type": "string", "example": "a"}


def test_a_corrupt_entry_is_set_aside_and_its_neighbours_are_answered(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    double = predictor(Doubling())
    before = caller.send(double, 1.0)
    client.xadd(keys.online(double.key), {messages.FIELD: b"\xc1 no message"})
    client.xadd(keys.online(double.key), {"nothing": "of a message"})
    after = caller.send(double, 2.0)
    with engine(server.url, double):
        assert caller.values(before, after) == [2.0, 4.0]
        eventually(lambda: settled(client, keys.online(double.key)))
    letters = DeadLetters(client).newest(10)
    assert [(letter.kind, letter.model, letter.data) for letter in letters] == [
        (LetterKind.ENTRY, double.key, b""),
        (LetterKind.ENTRY, double.key, b"\xc1 no message"),
    ]


def test_an_entry_of_an_unknown_version_is_refused_at_once_and_can_be_put_back(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    double = predictor(Doubling())
    newer = msgspec.msgpack.encode([2, caller.name, 77, 0, "laid out otherwise"])
    client.xadd(keys.online(double.key), {messages.FIELD: newer})
    with engine(server.url, double):
        [refused] = caller.wait_for(77)
        assert refused.failure is not None
        assert refused.failure.code == "message_unreadable"
        assert "schema version 2" in refused.failure.detail
        assert caller.values(caller.send(double, 3.0)) == [6.0]
    [letter] = DeadLetters(client).newest(10)
    assert letter.data == newer


def test_an_unreadable_entry_of_a_dead_worker_is_set_aside_once(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    double = predictor(Doubling())
    with_group(client, double)
    client.xadd(keys.online(double.key), {messages.FIELD: b"\xc1"})
    take_and_die(client, double)
    with engine(server.url, double):
        eventually(lambda: settled(client, keys.online(double.key)))
    assert [letter.data for letter in DeadLetters(client).newest(10)] == [b"\xc1"]


def order_of_runs(server: Server, *names: str) -> list[float]:
    """The first value of each slice of chunks that wait together, each of two slices."""
    starts: list[float] = []
    all_there = threading.Event()

    def model(columns: Columns) -> Array:
        assert all_there.wait(60)
        starts.append(float(columns["x"][0]))
        return np.asarray(2 * columns["x"])

    double = predictor(model, batching={"max_rows": 8, "max_slice_rows": 8})
    values = [np.arange(100.0 * number, 100.0 * number + 16) for number in range(len(names))]
    works = [ChunkWork(double, name, {"x": x}, InvalidRows(0)) for name, x in zip(names, values, strict=True)]
    with engine(server.url, double) as running:
        for work in works:
            running.submit(work)
        all_there.set()
        assert all(work.ended.wait(30) for work in works)
    return starts


def test_chunks_of_a_job_run_in_sequence(server: Server) -> None:
    assert order_of_runs(server, "j/0", "j/1") == [0.0, 8.0, 100.0, 108.0]


def test_chunks_of_two_jobs_take_turns(server: Server) -> None:
    assert order_of_runs(server, "j/0", "k/0") == [0.0, 100.0, 8.0, 108.0]


def test_requests_are_answered_while_the_failing_rows_of_a_chunk_are_being_found(
    server: Server, caller: Caller
) -> None:
    """Found in a turn, they would hold requests up for seconds, and the watchdog would end the worker."""
    model = Doubling()

    def slow(columns: Columns) -> Array:
        time.sleep(0.002)  # a call's own cost
        return model(columns)

    double = predictor(slow, batching={"max_rows": 2000, "max_slice_rows": 2000})
    work = ChunkWork(double, "j/0", {"x": np.full(2000, BAD)}, InvalidRows(0))
    with engine(server.url, double) as running:
        running.submit(work)
        eventually(lambda: work.position > 0)
        assert caller.values(*(caller.send(double, float(x)) for x in range(5))) == [
            2.0 * x for x in range(5)
        ]
        assert not work.ended.is_set()
        assert work.ended.wait(60)
    assert work.complete
    assert work.answer()["error"].null_count == 0
    assert len(model.batches) < 2100 + 5


def test_a_slice_that_is_interrupted_keeps_every_rows_outcome_in_its_place() -> None:
    x = np.arange(500.0)
    x[7::11] = BAD
    double = predictor(Doubling(), batching={"max_rows": 500, "max_slice_rows": 500})
    work = ChunkWork(double, "j/0", {"x": x}, InvalidRows(0))
    turns = 0
    while not work.complete:
        work.run_slice(500, lambda: None, limit_s=0.0)
        turns += 1
    answer = work.answer()
    assert turns > 100
    assert answer["y"].to_pylist() == [None if value == BAD else 2 * value for value in x]
    assert [error is not None for error in answer["error"].to_pylist()] == [value == BAD for value in x]
