"""The online dispatcher: answered, failed and withdrawn requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import ReadOnlyError

from api.fleet.redis_status import RedisStatus
from api.http.request_bodies import ClientLeftError
from api.online.dispatcher import OnlineDispatcher
from api.online.entry_writer import EntryWriter
from api.online.inflight import Answered, InflightRequests, Left
from api.online.reply_reader import ReplyStream
from shared import keys
from shared.columns import encode_rows
from shared.errors import (
    DeadlineExceededError,
    MessageUnreadableError,
    PredictionFailedError,
    QueueUnavailableError,
    ServiceError,
)
from shared.messages import FIELD, SCHEMA, Entry, EntryAnswer, EntryFailure, Reply, encode
from tests.support.servers import Server
from tests.unit.gateway_fakes import IRIS, IRIS_KEY, IRIS_ROW, FakeClock, FakeRedis, FakeWorker, until


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def client() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
async def lane(client: FakeRedis, clock: FakeClock) -> AsyncIterator[OnlineDispatcher]:
    link = RedisStatus()
    lane = OnlineDispatcher(client, "test", link, clock)
    lane.start()
    await until(lambda: link.up)
    yield lane
    await lane.close()
    await client.aclose()


def submit(
    lane: OnlineDispatcher, *lengths: float, wait_s: float = 10.0, left: Left = lambda: False
) -> asyncio.Future[Answered]:
    """Iris rows with different first inputs."""
    rows = [IRIS_ROW | {"sepal_length": length} for length in lengths]
    columns = encode_rows(IRIS, rows)
    return lane.submit(IRIS_KEY, IRIS, columns, len(rows), wait_s=wait_s, left=left)


async def written(lane: OnlineDispatcher, client: FakeRedis, entries: int) -> None:
    async def length() -> int:
        return int(await client.xlen(keys.online(IRIS_KEY)))

    for _ in range(1000):
        if await length() == entries:
            return
        await asyncio.sleep(0.002)
    raise AssertionError(f"{await length()} entries, not {entries}")


async def test_an_answer_reaches_the_request_that_asked(lane: OnlineDispatcher, client: FakeRedis) -> None:
    one, other = submit(lane, 1.0), submit(lane, 2.0)
    await written(lane, client, 2)
    await FakeWorker(client, IRIS).answer()
    assert (await one).columns[1] == [1.0]
    assert (await other).columns[1] == [2.0]


async def test_all_requests_of_a_loop_turn_leave_in_a_single_command(
    lane: OnlineDispatcher, client: FakeRedis
) -> None:
    client.script_runs = 0
    outcomes = [submit(lane, float(i)) for i in range(20)]
    await written(lane, client, 20)
    assert client.script_runs == 1
    await FakeWorker(client, IRIS).answer()
    await asyncio.gather(*outcomes)


async def test_a_request_larger_than_a_batch_is_cut_and_joined_in_order(
    lane: OnlineDispatcher, client: FakeRedis
) -> None:
    most = IRIS.batching.max_rows
    lengths = [i / 100 for i in range(2 * most + 5)]
    outcome = submit(lane, *lengths)
    await written(lane, client, 3)
    worker = FakeWorker(client, IRIS)
    assert [entry.rows for entry in await worker.waiting(IRIS_KEY)] == [most, most, 5]
    await worker.answer()
    assert (await outcome).columns[1] == lengths


async def test_parts_may_be_answered_in_any_order_and_twice(
    lane: OnlineDispatcher, client: FakeRedis
) -> None:
    most = IRIS.batching.max_rows
    lengths = [i / 100 for i in range(most + 1)]
    outcome = submit(lane, *lengths)
    await written(lane, client, 2)
    first, second = await FakeWorker(client, IRIS).waiting(IRIS_KEY)
    for entry, values in ((second, lengths[most:]), (second, lengths[most:]), (first, lengths[:most])):
        await reply(client, lane, entry, values)
    assert (await outcome).columns[1] == lengths


async def reply(client: FakeRedis, lane: OnlineDispatcher, entry: Entry, values: list[float]) -> None:
    answer = EntryAnswer(entry.id, entry.part, 0.0, [["setosa"] * len(values), list(values)])
    message = Reply(SCHEMA, "w", len(values), 0.0, 0.0, [answer])
    await client.xadd(keys.reply(lane.gateway), {FIELD: encode(message)})


async def test_unreadable_answers_and_answers_to_unknown_requests_are_ignored(
    lane: OnlineDispatcher, client: FakeRedis
) -> None:
    unknown = Reply(SCHEMA, "w", 1, 0.0, 0.0, [EntryAnswer(999, 0, 0.0, [["x"], [0.0]])])
    await client.xadd(keys.reply(lane.gateway), {FIELD: encode(unknown)})
    await client.xadd(keys.reply(lane.gateway), {FIELD: b"\xff not a message"})
    outcome = submit(lane, 1.0)
    await written(lane, client, 1)
    await FakeWorker(client, IRIS).answer()
    assert (await outcome).columns[1] == [1.0]


async def test_a_reply_of_a_newer_schema_fails_its_requests_at_once_and_is_set_aside(
    lane: OnlineDispatcher, client: FakeRedis
) -> None:
    one, other = submit(lane, 1.0), submit(lane, 2.0)
    await written(lane, client, 2)
    newer = msgspec.msgpack.encode([2, "w:1", 1, 0.0, 0.0, [[1, 0, {"laid": "out otherwise"}]]])
    await client.xadd(keys.reply(lane.gateway), {FIELD: newer})
    with pytest.raises(MessageUnreadableError, match="schema version 2"):
        await one
    await FakeWorker(client, IRIS).answer()
    assert (await other).columns[1] == [2.0]
    found: Any = await client.xrange(keys.dead_letters())  # redis-py's own types
    [(_, letter)] = found
    assert (letter[b"kind"], letter[b"data"]) == (b"reply", newer)


async def test_parts_of_an_answer_that_do_not_fit_together_fail_their_request(
    lane: OnlineDispatcher, client: FakeRedis
) -> None:
    many = submit(lane, *[1.0] * (IRIS.batching.max_rows + 1))
    await written(lane, client, 2)
    answers = [EntryAnswer(1, 0, 0.0, [["setosa"]]), EntryAnswer(1, 1, 0.0, [["setosa"], [1.0]])]
    whole = Reply(SCHEMA, "w:1", 1, 0.0, 0.0, answers)
    await client.xadd(keys.reply(lane.gateway), {FIELD: encode(whole)})
    with pytest.raises(MessageUnreadableError, match="different outputs"):
        await many


async def test_the_entry_contains_the_remaining_time(lane: OnlineDispatcher, client: FakeRedis) -> None:
    outcome = submit(lane, 1.0, wait_s=2.5)
    await written(lane, client, 1)
    worker = FakeWorker(client, IRIS)
    assert (await worker.waiting(IRIS_KEY))[0].budget_ms == 2500
    await worker.answer()
    await outcome


async def test_past_its_deadline_a_request_fails_and_its_entry_is_taken_back(
    lane: OnlineDispatcher, client: FakeRedis, clock: FakeClock
) -> None:
    outcome = submit(lane, 1.0, wait_s=5.0)
    await written(lane, client, 1)
    clock.now_s += 5.0
    with pytest.raises(DeadlineExceededError):
        await outcome
    await written(lane, client, 0)
    assert lane.inflight.rows == 0


async def test_nobody_computes_for_a_client_that_left(lane: OnlineDispatcher, client: FakeRedis) -> None:
    has_left = asyncio.Event()
    outcome = submit(lane, 1.0, left=has_left.is_set)
    await written(lane, client, 1)
    has_left.set()
    with pytest.raises(ClientLeftError):
        await outcome
    await written(lane, client, 0)


async def test_a_request_that_ends_before_it_is_written_is_never_written(
    lane: OnlineDispatcher, client: FakeRedis, clock: FakeClock
) -> None:
    outcome = submit(lane, 1.0, wait_s=1.0)
    clock.now_s += 1.0
    lane.sweep()
    with pytest.raises(DeadlineExceededError):
        await outcome
    await asyncio.sleep(0)
    await written(lane, client, 0)


async def test_a_failing_part_fails_its_request_and_takes_the_others_back(
    lane: OnlineDispatcher, client: FakeRedis
) -> None:
    outcome = submit(lane, *[1.0] * (IRIS.batching.max_rows + 1))
    await written(lane, client, 2)
    worker = FakeWorker(client, IRIS)
    first, _ = await worker.waiting(IRIS_KEY)
    failed = EntryAnswer(
        first.id, first.part, 0.0, None, EntryFailure("prediction_failed", "the model raised")
    )
    await client.xadd(keys.reply(lane.gateway), {FIELD: encode(Reply(SCHEMA, "w", 1, 0.0, 0.0, [failed]))})
    with pytest.raises(PredictionFailedError, match="the model raised"):
        await outcome
    await written(lane, client, 1)
    assert await worker.waiting(IRIS_KEY) == [first]  # whoever answered it removes it


async def test_an_unexpected_error_of_a_write_fails_its_requests_at_once_and_the_next_is_written(
    lane: OnlineDispatcher, client: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("a fault of this program")

    monkeypatch.setattr("api.http.lifecycle.PAUSE_AFTER_BUG_S", 0.0)
    with monkeypatch.context() as broken:
        broken.setattr(lane._writer, "_add_entries", refuse)
        outcomes = [submit(lane, float(i)) for i in range(3)]
        for outcome in outcomes:
            with pytest.raises(ServiceError, match="could not be written"):
                await asyncio.wait_for(outcome, 5)
    assert lane.inflight.rows == 0
    later = submit(lane, 1.0)
    await written(lane, client, 1)
    await FakeWorker(client, IRIS).answer()
    assert (await later).columns[1] == [1.0]


async def test_an_entry_that_cannot_be_encoded_fails_alone(
    lane: OnlineDispatcher, client: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode_or_raise(entry: Entry) -> bytes:
        if entry.id == 2:
            raise OverflowError("too large")
        return encode(entry)

    monkeypatch.setattr("api.online.entry_writer.messages.encode", encode_or_raise)
    outcomes = [submit(lane, float(i)) for i in range(3)]
    with pytest.raises(ServiceError, match="could not be written"):
        await outcomes[1]
    await written(lane, client, 2)
    await FakeWorker(client, IRIS).answer()
    assert [(await outcomes[i]).columns[1] for i in (0, 2)] == [[0.0], [2.0]]


async def test_while_redis_is_away_requests_are_refused_at_once(
    lane: OnlineDispatcher, client: FakeRedis, clock: FakeClock
) -> None:
    client.server.connected = False
    with pytest.raises(QueueUnavailableError):
        await submit(lane, 1.0)  # the first to notice: its write fails
    with pytest.raises(QueueUnavailableError) as refusal:
        submit(lane, 1.0)
    assert refusal.value.retry_after_s


async def test_a_replica_is_known_to_refuse_writes(
    lane: OnlineDispatcher, client: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: object) -> None:
        raise ReadOnlyError("You can't write against a read only replica.")

    monkeypatch.setattr(ReplyStream, "open", refuse)
    client.server.connected = False
    with pytest.raises(QueueUnavailableError):
        await submit(lane, 1.0)  # after a failed write, the reply stream is opened again
    client.server.connected = True
    await until(lambda: "read only replica" in lane._queue.refusal)
    monkeypatch.undo()
    await until(lambda: lane._queue.open and not lane._queue.refusal)


async def test_a_request_in_flight_when_redis_goes_waits_until_its_deadline(
    lane: OnlineDispatcher, client: FakeRedis, clock: FakeClock
) -> None:
    waiting = submit(lane, 1.0, wait_s=5.0)
    await written(lane, client, 1)
    client.server.connected = False
    with pytest.raises(QueueUnavailableError):
        await submit(lane, 2.0)
    assert not waiting.done()
    clock.now_s += 5.0
    with pytest.raises(QueueUnavailableError):
        await waiting


async def test_the_lane_recovers_when_redis_is_back_even_if_it_forgot_everything(
    lane: OnlineDispatcher, client: FakeRedis
) -> None:
    client.server.connected = False
    with pytest.raises(QueueUnavailableError):
        await submit(lane, 1.0)
    client.server.connected = True
    await client.flushall()
    await until(lambda: lane.up)
    outcome = submit(lane, 3.0)
    await written(lane, client, 1)
    await FakeWorker(client, IRIS).answer()
    assert (await outcome).columns[1] == [3.0]


async def test_the_reply_stream_lives_only_as_long_as_its_gateway(
    lane: OnlineDispatcher, client: FakeRedis
) -> None:
    stream = keys.reply(lane.gateway)
    assert 0 < await client.ttl(stream) <= 60
    await lane.close()
    assert not await client.exists(stream)


async def test_what_was_read_is_cut_off_the_reply_stream(
    lane: OnlineDispatcher, client: FakeRedis, clock: FakeClock
) -> None:
    for i in range(5):
        outcome = submit(lane, float(i))
        await written(lane, client, 1)
        clock.now_s += 2.0  # tending is due with every read
        await FakeWorker(client, IRIS).answer()
        await outcome
    assert await client.xlen(keys.reply(lane.gateway)) <= 2


async def test_a_request_that_was_taken_back_has_no_entries_left_to_take_back(client: FakeRedis) -> None:
    inflight = InflightRequests()
    outbox = EntryWriter(client, "test", inflight, RedisStatus())
    waiting = inflight.open(
        IRIS_KEY,
        [[]],
        [1],
        outcome=asyncio.get_running_loop().create_future(),
        since_s=0.0,
        deadline_s=10.0,
        left=lambda: False,
    )
    waiting.entry_ids[0] = b"1-1"
    outbox.withdraw(waiting)
    assert waiting.entry_ids == {}


@pytest.mark.integration
async def test_a_reply_stream_that_is_closed_gives_its_connection_back(valkey: Server) -> None:
    pool = BlockingConnectionPool.from_url(valkey.url, max_connections=1, timeout=1)
    async with Redis.from_pool(pool) as client:
        replies = ReplyStream(client, "test")
        await replies.open()
        await replies.close()
        assert await client.ping()
