"""The delivery of webhooks: due times, leases, delays, and the recorded attempts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio
import structlog
from standardwebhooks.webhooks import Webhook

from shared import keys
from shared.keys import ModelKey
from shared.ledger import AsyncLedger, Ledger, NewJob, WebhookAttempt, WebhookClaim, new_job_id
from shared.settings import Settings
from tests.support.engines import next_millisecond
from tests.support.polling import eventually
from tests.support.receivers import Answer, Receiver, receiver
from worker.webhooks.delivery import AT_ONCE, Webhooks, retry_after_s

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LEASE_S = 40.0
DAY_MS = round(timedelta(days=1) / timedelta(milliseconds=1))


def unheard(key: ModelKey, count: int) -> None:
    """A notification that these tests ignore."""


class House:
    """A ledger on a server with ended jobs. Its clock advances by changing the stored times."""

    def __init__(self, threads: redis.Redis, for_asyncio: Callable[[], redis.asyncio.Redis]) -> None:
        self._client = threads
        self._for_asyncio = for_asyncio
        self.ledger = Ledger(threads, unheard, worker="w:1", lease_s=30.0, max_attempts=3)

    def ask(self, call: str, *args: Any) -> Any:
        """A call of the gateway's ledger."""

        async def asked() -> Any:
            async with self._for_asyncio() as client:
                return await getattr(AsyncLedger(client, unheard), call)(*args)

        return asyncio.run(asked())

    def ended(self, url: str = "http://127.0.0.1/hook", *, how: str = "fail_job") -> str:
        """A job with a webhook that has ended."""
        job = NewJob(
            id=new_job_id(), model="iris", version="1.0.0", digest="d", owner="anonymous", webhook_url=url
        )
        self.ask("open_job", job)
        match how:
            case "fail_job":
                self.ask("fail_job", job.id, "upload_interrupted", "It broke off.")
            case "cancel":
                self.ask("cancel", job.id)
            case _:
                self.ask("append_chunks", job.id, job.key, [3])
                self.ask("seal", job.id)
                held = self.ledger.claim(job.key)
                assert held is not None
                self.ledger.commit(job.key, held, rows_succeeded=3, rows_failed=0)
        return job.id

    def claim(self) -> WebhookClaim | None:
        return self.ledger.claim_webhook(lease_s=LEASE_S)

    def attempts(self, job_id: str) -> list[WebhookAttempt]:
        attempts: dict[str, list[WebhookAttempt]] = self.ask("webhook_attempts", job_id)
        return attempts[job_id]

    def due_in_ms(self, job_id: str) -> float | None:
        """By the server's clock; None: never."""
        due_ms = self._client.zscore(keys.webhooks(), job_id)
        seconds, microseconds = self._client.time()
        return None if due_ms is None else due_ms - (seconds * 1000 + microseconds / 1000)

    def let_pass(self, job_id: str, ms: float) -> None:
        """Let time pass for a job: it ended, and is due, that much earlier."""
        if self._client.zscore(keys.webhooks(), job_id) is not None:
            self._client.zincrby(keys.webhooks(), -ms, job_id)
        self._client.hincrby(keys.job(job_id), "finished_at_ms", -round(ms))

    def let_a_millisecond_pass(self) -> None:
        """By the server's clock, from which leases are computed."""
        next_millisecond(self._client)

    def let_it_be_due(self, job_id: str) -> None:
        assert self.due_in_ms(job_id) is not None
        self._client.zadd(keys.webhooks(), {job_id: 0})

    def expire(self, job_id: str) -> None:
        """End its retention while its webhook is still due, as if a worker held it."""
        held = self.claim()
        self._client.zadd(keys.expiring(), {job_id: 0})
        assert self.ledger.expire_jobs() == [job_id]
        assert held is not None
        self._client.zadd(keys.webhooks(), {job_id: 0})

    def spoil(self, job_id: str) -> None:
        """Make its record unreadable."""
        self._client.hset(keys.job(job_id), "rows_succeeded", "many")

    def delete(self, job_id: str) -> None:
        assert self.ask("delete", job_id)


@pytest.fixture(
    params=[
        "fakeredis",
        pytest.param("valkey", marks=pytest.mark.integration),
        pytest.param("redis7", marks=pytest.mark.integration),
    ]
)
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    if request.param == "fakeredis":
        server = fakeredis.FakeServer()
        threads: redis.Redis = fakeredis.FakeRedis(server=server)
        yield House(threads, partial(fakeredis.FakeAsyncRedis, server=server))
    else:
        url = request.getfixturevalue(request.param).url
        with redis.Redis.from_url(url) as threads:
            threads.flushdb()
            yield House(threads, partial(redis.asyncio.Redis.from_url, url))


def delivery(house: House, **changes: Any) -> Webhooks:
    settings = Settings(**({"webhook_secret": SECRET, "webhook_allow": "127.0.0.0/8"} | changes))
    return Webhooks(house.ledger, settings, chance=lambda: 0.5)


def bodies(to: Receiver) -> list[Any]:
    """The received bodies, each verified with the reference implementation."""
    return [Webhook(SECRET).verify(request.body, request.headers) for request in to.received]


# The ledger's part


@pytest.mark.parametrize("how", ["fail_job", "cancel", "succeed"])
def test_a_job_that_ends_is_due_at_once_however_it_ended(house: House, how: str) -> None:
    job_id = house.ended(how=how)
    held = house.claim()
    assert held is not None
    assert (held.job_id, held.attempts) == (job_id, 0)


def test_a_job_without_a_webhook_is_never_due(house: House) -> None:
    house.ended(url="")
    assert house.claim() is None


def test_a_job_that_has_not_ended_is_not_due(house: House) -> None:
    job = NewJob(id=new_job_id(), model="m", version="1", digest="d", owner="a", webhook_url="http://h/")
    house.ask("open_job", job)
    assert house.claim() is None


def test_what_one_worker_delivers_no_other_takes_until_its_lease_is_over(house: House) -> None:
    job_id = house.ended()
    assert house.claim() is not None
    assert house.claim() is None
    house.let_pass(job_id, LEASE_S * 1000)
    again = house.claim()
    assert again is not None
    assert again.job_id == job_id


def test_a_late_worker_is_heard_but_changes_nothing_that_another_holds(house: House) -> None:
    job_id = house.ended()
    late = house.claim()
    assert late is not None
    house.let_pass(job_id, LEASE_S * 1000)
    house.let_a_millisecond_pass()  # otherwise both claims would be due in the same millisecond
    held = house.claim()
    assert held is not None
    assert not house.ledger.record_webhook(late, status=204, error="", delay_s=None)
    assert house.due_in_ms(job_id) is not None
    assert house.ledger.record_webhook(held, status=204, error="", delay_s=None)
    assert house.due_in_ms(job_id) is None
    assert [attempt.status for attempt in house.attempts(job_id)] == [204, 204]


def test_the_one_that_is_due_longest_comes_first(house: House) -> None:
    first, second = house.ended(), house.ended()
    house.let_pass(second, 1000)
    claimed = [house.claim(), house.claim()]
    assert [held.job_id for held in claimed if held] == [second, first]


def test_a_deleted_job_takes_its_webhook_with_it(house: House) -> None:
    job_id = house.ended()
    held = house.claim()
    assert held is not None
    house.ledger.record_webhook(held, status=500, error="", delay_s=60)
    house.delete(job_id)
    assert house.due_in_ms(job_id) is None
    assert house.attempts(job_id) == []
    assert not house.ledger.record_webhook(held, status=500, error="", delay_s=60)
    assert house.attempts(job_id) == []


# The worker's part


def test_a_receiver_is_told_with_a_valid_signature_and_it_is_remembered(house: House) -> None:
    with receiver(Answer(204)) as to:
        job_id = house.ended(to.url, how="succeed")
        assert delivery(house).deliver_next()
        assert not delivery(house).deliver_next()
    (message,) = bodies(to)
    (request,) = to.received
    assert {name: value for name, value in request.headers.items() if name.startswith("ce-")} == {
        "ce-specversion": "1.0",
        "ce-id": request.headers["webhook-id"],
        "ce-type": "takt.job.succeeded",
        "ce-source": "urn:takt:jobs",
        "ce-subject": job_id,
        "ce-time": message["timestamp"],
    }
    assert (message["type"], message["data"]["id"], message["data"]["rows_succeeded"]) == (
        "job.succeeded",
        job_id,
        3,
    )
    (attempt,) = house.attempts(job_id)
    assert attempt.delivered
    assert (attempt.status, attempt.error, attempt.next_at_ms) == (204, "", None)


def test_a_failed_job_says_why(house: House) -> None:
    with receiver() as to:
        house.ended(to.url)
        delivery(house).deliver_next()
    (message,) = bodies(to)
    assert message["type"] == "job.failed"
    assert message["data"]["error"] == {"code": "upload_interrupted", "detail": "It broke off."}


def test_a_receiver_that_fails_twice_is_told_a_third_time_under_the_same_id(house: House) -> None:
    with receiver(Answer(500), Answer(503), Answer(200)) as to:
        job_id = house.ended(to.url)
        webhooks = delivery(house)
        for _ in range(2):
            assert webhooks.deliver_next()
            assert not webhooks.deliver_next()
            house.let_it_be_due(job_id)
        assert webhooks.deliver_next()
    assert len({request.headers["webhook-id"] for request in to.received}) == 1
    assert len({request.body for request in to.received}) == 1
    assert len(bodies(to)) == 3
    attempts = house.attempts(job_id)
    assert [attempt.status for attempt in attempts] == [500, 503, 200]
    pauses = [attempt.next_at_ms - attempt.at_ms for attempt in attempts if attempt.next_at_ms]
    # the server's clock at the attempt is a moment later than the computation of the pause
    assert pauses == pytest.approx([5_000, 20_000], abs=2000)
    assert house.due_in_ms(job_id) is None


def test_a_failure_without_an_answer_is_remembered_in_words(house: House) -> None:
    with receiver() as to:
        gone = to.url
    job_id = house.ended(gone)
    delivery(house).deliver_next()
    (attempt,) = house.attempts(job_id)
    assert (attempt.status, attempt.delivered) == (None, False)
    assert "refused" in attempt.error
    assert attempt.next_at_ms is not None


def test_an_address_that_is_no_longer_permitted_is_not_connected_to(house: House) -> None:
    with receiver() as to:
        job_id = house.ended(to.url)
        delivery(house, webhook_allow="").deliver_next()
    assert to.received == []
    assert "no address that webhooks may reach" in house.attempts(job_id)[0].error


def test_a_receiver_that_is_gone_is_not_told_again(house: House) -> None:
    with receiver(Answer(410)) as to:
        job_id = house.ended(to.url)
        delivery(house).deliver_next()
    assert house.due_in_ms(job_id) is None
    assert [attempt.delivered for attempt in house.attempts(job_id)] == [False]


def test_a_receiver_that_asks_for_time_gets_it(house: House) -> None:
    with receiver(Answer(429, {"Retry-After": "600"})) as to:
        job_id = house.ended(to.url)
        delivery(house).deliver_next()
    due_in_ms = house.due_in_ms(job_id)
    assert due_in_ms is not None
    assert 590_000 < due_in_ms <= 600_000


def test_a_day_after_the_jobs_end_it_is_given_up(house: House) -> None:
    with receiver(Answer(500)) as to:
        job_id = house.ended(to.url)
        house.let_pass(job_id, DAY_MS)
        delivery(house).deliver_next()
    assert house.due_in_ms(job_id) is None
    assert [(a.status, a.next_at_ms) for a in house.attempts(job_id)] == [(500, None)]


def test_what_a_killed_worker_was_delivering_another_delivers(house: House) -> None:
    with receiver() as to:
        job_id = house.ended(to.url)
        assert house.claim() is not None  # the worker then disappears
        assert not delivery(house).deliver_next()
        house.let_pass(job_id, LEASE_S * 1000)
        assert delivery(house).deliver_next()
    assert json.loads(to.received[0].body)["data"]["id"] == job_id


def test_a_job_that_is_gone_before_its_webhook_is_let_go(house: House) -> None:
    job_id = house.ended()
    house.expire(job_id)
    assert delivery(house).deliver_next()
    assert house.due_in_ms(job_id) is None


def test_a_hanging_receiver_does_not_hold_up_the_next(house: House) -> None:
    with receiver() as hanging, receiver() as to:
        hanging.gate.clear()
        house.ended(hanging.url)
        house.ended(to.url)
        webhooks = delivery(house)
        webhooks.start()
        try:
            eventually(lambda: to.received)
            eventually(lambda: hanging.received)
        finally:
            hanging.gate.set()
            webhooks.stop()
            webhooks.join(10)


def test_a_job_whose_record_cannot_be_read_is_left_to_others_and_stops_nobody(house: House) -> None:
    with receiver() as to:
        broken, sound = house.ended(to.url), house.ended(to.url)
        house.spoil(broken)
        webhooks = delivery(house)
        assert webhooks.deliver_next()
        assert webhooks.deliver_next()
    assert [message["data"]["id"] for message in bodies(to)] == [sound]
    assert (house.due_in_ms(broken) or 0) > 0


def test_a_delivery_that_meets_a_bug_ends_no_thread(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.webhooks.delivery.EVERY_S", 0.01)
    turns = list[int]()

    def broken() -> bool:
        turns.append(1)
        raise ValueError("a bug")

    webhooks = delivery(house)
    monkeypatch.setattr(webhooks, "deliver_next", broken)
    with structlog.testing.capture_logs():
        webhooks.start()
        eventually(lambda: len(turns) > 2 * AT_ONCE)
        webhooks.stop()
        webhooks.join(10)


@pytest.mark.parametrize("header", [f"Mon, 01 Jan {'9' * 30} 00:00:00 GMT", "soon", "", "-1"])
def test_a_receiver_that_asks_for_nonsense_is_not_heard(header: str) -> None:
    assert retry_after_s(header, 0.0) == 0.0
