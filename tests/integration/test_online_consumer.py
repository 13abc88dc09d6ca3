"""The entries of the online lane when the connection of a worker breaks, on real servers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import redis

from shared import keys, messages
from shared.dead_letters import DeadLetters
from shared.messages import SCHEMA, EntryAnswer, Reply
from tests.support.engines import Caller, Doubling, engine, entries, predictor, take_and_die, with_group
from tests.support.polling import eventually
from tests.support.servers import Server
from worker.online.batching import Delivery
from worker.online.consumer import OnlineConsumer
from worker.online.stream import Finished, OnlineStream
from worker.predictors import Predictor

pytestmark = pytest.mark.integration

WORKER = "w:1"


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


@dataclass
class Consumer:
    """The online entries of a model in a worker, without the engine."""

    server: Server
    client: redis.Redis
    model: Predictor
    intake: OnlineConsumer

    def look(self) -> None:
        self.intake.look_again()
        self.intake.look(time.monotonic())

    def has_entries(self) -> bool:
        self.look()
        return self.intake.waiting

    def break_off(self) -> None:
        """End the server, and let the worker find that out."""
        self.server.stop()
        self.intake.mark_lone_run(self._of_nothing())

    def come_back(self) -> None:
        self.server.start()
        eventually(self._is_back)

    def reconnect(self) -> None:
        self.break_off()
        self.come_back()

    def batches(self) -> list[list[int]]:
        """The requests of each batch that would run now."""
        found = []
        while self.intake.waiting:
            found.append([delivery.entry.id for delivery in self.intake.next_batch()[0]])
        return found

    def delivery_counts(self) -> list[int]:
        pending = self.client.xpending_range(keys.online(self.model.key), keys.WORKER_GROUP, "-", "+", 100)
        return [int(item["times_delivered"]) for item in pending]

    def _of_nothing(self) -> Delivery:
        """Of an entry that is gone: to mark a run of it changes nothing."""
        return Delivery(self.model.key, b"1-1", messages.Entry(SCHEMA, "caller:1", 0, 0, 1000, 0, []))

    def _is_back(self) -> bool:
        self.intake.reconnect(time.monotonic())
        return self.intake.reachable


@pytest.fixture
def consumer(server: Server, client: redis.Redis) -> Iterator[Consumer]:
    """A worker that has connected, before anything waits."""
    double = predictor(Doubling())
    lane = OnlineStream(server.url, WORKER, {double.key: double.spec.batching.max_rows}, 20.0)
    made = Consumer(server, client, double, OnlineConsumer(lane, lambda _: double.spec.batching.max_rows))
    made.look()
    yield made
    lane.close()


def lose_answer(client: redis.Redis, to: Predictor) -> None:
    """The state after a connection broke while entries were sent to the worker."""
    client.xreadgroup(keys.WORKER_GROUP, WORKER, {keys.online(to.key): ">"})


def finished(to: Predictor, caller: Caller, delivery: Delivery) -> Finished:
    """The answer to an entry."""
    answer = EntryAnswer(delivery.entry.id, 0, 0.0, [[2.0]])
    return Finished(to.key, {caller.name: Reply(SCHEMA, WORKER, 1, 0.0, 0.0, [answer])}, [delivery.entry_id])


def in_batches(sizes: list[int], most: int) -> list[list[int]]:
    """Entries in order, as many in each batch as fit."""
    found: list[list[int]] = []
    for rows in sizes:
        if found and sum(found[-1]) + rows <= most:
            found[-1].append(rows)
        else:
            found.append([rows])
    return found


@pytest.mark.parametrize(
    "sizes",
    [
        [1] * 200,
        [16] * 20,
        [64, 65, 1, 64, 100, 1, 1],
        [40] + [1] * 100 + [30] * 5,
        np.random.default_rng(5).integers(1, 70, 300).tolist(),
        np.random.default_rng(6).choice([1, 2, 60], 300, p=[0.8, 0.15, 0.05]).tolist(),
    ],
    ids=["rows", "alike", "as large as a batch", "small after large", "of any size", "mostly small"],
)
def test_a_turn_reads_exactly_the_entries_that_fit_a_batch(
    server: Server, client: redis.Redis, caller: Caller, sizes: list[int]
) -> None:
    model = predictor(Doubling(), batching={"max_rows": 64, "max_slice_rows": 64})
    lane = OnlineStream(server.url, WORKER, {model.key: 64}, 20.0)
    try:
        lane.recover()
        caller.send_all(model, [[1.0] * rows for rows in sizes])
        found = [[each.entry.rows for each in batch] for batch in iter(lane.read, [])]
    finally:
        lane.close()
    assert found == in_batches(sizes, 64)


def test_entries_that_were_handed_out_as_the_connection_broke_run_after_it(
    consumer: Consumer, client: redis.Redis, caller: Caller
) -> None:
    ids = caller.send_all(consumer.model, [[1.0], [2.0]])
    lose_answer(client, consumer.model)
    consumer.reconnect()
    assert consumer.batches() == [ids]


def test_an_entry_that_ended_another_worker_still_runs_alone_after_a_break(
    consumer: Consumer, client: redis.Redis, caller: Caller
) -> None:
    first, second = caller.send_all(consumer.model, [[1.0], [2.0]])
    take_and_die(client, consumer.model)
    eventually(consumer.has_entries)
    consumer.reconnect()
    assert consumer.batches() == [[first], [second]]


def test_entries_of_a_worker_that_has_ended_for_certain_are_claimed_although_its_heartbeat_lives(
    server: Server, client: redis.Redis, caller: Caller
) -> None:
    double = predictor(Doubling())
    with_group(client, double)
    ids = caller.send_all(double, [[1.0]])
    take_and_die(client, double, "dead:1")
    client.hset(keys.worker("dead:1"), "record", "{}")
    lane = OnlineStream(
        server.url, WORKER, {double.key: double.spec.batching.max_rows}, 20.0, ended=["dead:1"]
    )
    lane.recover()
    assert [delivery.entry.id for delivery in lane.claim_stale()] == ids
    lane.close()


def test_entries_in_hand_stay_in_hand_once_when_the_connection_breaks(
    consumer: Consumer, caller: Caller
) -> None:
    ids = caller.send_all(consumer.model, [[1.0], [2.0], [3.0]])
    consumer.look()
    consumer.reconnect()
    assert consumer.batches() == [ids]


def test_an_answer_that_could_not_be_sent_is_sent_after_the_break_and_its_entry_does_not_run_again(
    consumer: Consumer, client: redis.Redis, caller: Caller
) -> None:
    first, second = caller.send_all(consumer.model, [[1.0], [2.0] * consumer.model.spec.batching.max_rows])
    consumer.look()
    (delivery,), _ = consumer.intake.next_batch()
    consumer.server.stop()
    consumer.intake.send(finished(consumer.model, caller, delivery), read_on=False)
    consumer.come_back()
    assert caller.values(first) == [2.0]
    consumer.look()
    assert consumer.batches() == [[second]]


def test_a_broken_connection_counts_as_no_delivery(
    consumer: Consumer, client: redis.Redis, caller: Caller
) -> None:
    caller.send_all(consumer.model, [[1.0], [2.0]])
    lose_answer(client, consumer.model)
    for _ in range(3):
        consumer.reconnect()
    assert consumer.delivery_counts() == [1, 1]


def test_an_entry_whose_worker_ended_after_a_broken_connection_runs_in_the_next(
    server: Server, consumer: Consumer, client: redis.Redis, caller: Caller
) -> None:
    ids = caller.send_all(consumer.model, [[1.0], [2.0]])
    lose_answer(client, consumer.model)
    consumer.reconnect()  # and then it ends, with both in hand
    with engine(server.url, consumer.model, worker_id="w:2"):
        assert caller.values(*ids) == [2.0, 4.0]


def test_an_entry_that_its_gateway_took_back_meanwhile_does_not_count_as_unreadable(
    consumer: Consumer, client: redis.Redis, caller: Caller
) -> None:
    _, kept = caller.send_all(consumer.model, [[1.0], [2.0]])
    lose_answer(client, consumer.model)
    client.xdel(keys.online(consumer.model.key), entries(client, keys.online(consumer.model.key))[0][0])
    consumer.reconnect()
    assert consumer.batches() == [[kept]]
    assert DeadLetters(client).newest(9) == []
