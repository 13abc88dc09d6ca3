"""Invalid messages in the doorbell queue: they are set aside and stop no worker."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu.entity import Queue
from kombu.message import Message

from shared import keys
from shared.dead_letters import DeadLetters, LetterKind
from shared.keys import model_key
from tests.integration.test_consumption import notify
from tests.support.callers import IRIS, job_results
from tests.support.polling import eventually
from tests.support.servers import Server, valkey_binary
from tests.support.stack import Stack, running
from worker.broker.transport import BrokerConnection

pytestmark = pytest.mark.integration

log = logging.getLogger(__name__)

KEY = model_key("iris", "1.0.0")
OTHER = model_key("nobodys", "1.0.0")


@pytest.fixture(scope="module")
def stack(queue: Server, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(queue.url, tmp_path_factory.mktemp("doorbells"), models="iris") as started:
        started.gateway()
        started.worker("worker")
        yield started


@pytest.fixture
def client(queue: Server) -> Iterator[redis.Redis]:
    with queue.client() as made:
        yield made


def a_doorbell(client: redis.Redis) -> dict[str, Any]:  # Any: kombu's envelope
    """A doorbell as it lies in the list."""
    notify(client, OTHER)
    found: dict[str, Any] = json.loads(client.rpop(keys.offline_queue(OTHER)))  # type: ignore[arg-type]  # bytes here
    return found


def test_items_that_are_no_doorbells_are_set_aside_and_the_worker_goes_on(
    stack: Stack, client: redis.Redis
) -> None:
    usual = a_doorbell(client)
    headers = usual["headers"] | {"task": "no.such.task"}
    items = [
        b"\xff\xfe no text",
        b"no JSON",
        b"[1]",
        b"[" * 100_000,
        json.dumps(usual | {"content-type": "application/x-python-serialize"}).encode(),
        json.dumps(usual | {"headers": headers}).encode(),
        json.dumps(usual | {"body": "e30="}).encode(),
    ]
    client.lpush(keys.offline_queue(KEY), *items)
    with stack.client() as http:
        rows = job_results(http, "iris", [IRIS] * 3)
    assert [row["prediction"] for row in rows] == ["setosa"] * 3
    eventually(lambda: client.llen(keys.offline_queue(KEY)) == 0)
    eventually(lambda: len(DeadLetters(client).newest(100)) == len(items))
    letters = DeadLetters(client).newest(100)
    assert {letter.data for letter in letters if letter.whole} == {i for i in items if len(i) <= 65_536}
    assert {(letter.kind, letter.model) for letter in letters} == {(LetterKind.DOORBELL, KEY)}
    assert stack.parts["worker"].running
    eventually(lambda: client.hlen("unacked") == 0)  # Celery acknowledges in its next turn


def test_a_chunk_whose_rows_are_corrupt_fails_its_rows_and_says_so_in_a_letter(
    stack: Stack, client: redis.Redis
) -> None:
    rows = [[5.1, 3.5, 1.4, n / 1000] for n in range(2000)]  # too many for the ledger
    stack.parts["worker"].pause()
    with stack.client() as http:
        job = http.post("/jobs", json={"model": "iris", "inputs": rows}).raise_for_status().json()
        [stored] = (stack.folder / "payloads").glob(f"**/{job['id']}/in/*")
        stored.write_bytes(stored.read_bytes()[:-40])
        stack.parts["worker"].go_on()
        ended = eventually(
            lambda: job_if_ended(http.get(f"/jobs/{job['id']}").json()), limit_s=90
        )  # attempts, some seconds apart
        assert ended is not None
        assert ended["rows_failed"] == len(rows)
        assert job_results(http, "iris", [IRIS])[0]["prediction"] == "setosa"
    [letter] = [found for found in DeadLetters(client).newest(100) if found.kind is LetterKind.CHUNK]
    assert letter.place == f"{job['id']}/0"
    assert "was recorded when it was written" in letter.reason


def job_if_ended(job: dict[str, Any]) -> dict[str, Any] | None:
    return job if job["state"] in ("succeeded", "failed") else None


def test_a_lost_acknowledgement_keeps_no_place_among_the_prefetched(tmp_path: Path) -> None:
    with Server(valkey_binary(), tmp_path) as server, server.client() as client:
        notify(client, KEY)
        taken: list[Message] = []
        connection: Any = BrokerConnection(server.url)  # type: ignore[no-untyped-call]  # kombu publishes no types
        queue = Queue(keys.offline_queue(KEY))  # type: ignore[no-untyped-call]
        with connection, connection.Consumer([queue], on_message=taken.append, prefetch_count=1) as consumer:
            while not taken:
                connection.drain_events(timeout=20)
            assert not consumer.channel.qos.can_consume()
            server.kill()
            taken[0].ack_log_error(log, connection.connection_errors)  # type: ignore[no-untyped-call]
            assert consumer.channel.qos.can_consume()
            server.start()  # for the consumer's farewell


def test_a_doorbell_that_is_not_acknowledged_returns_to_its_queue_when_the_channel_closes(
    tmp_path: Path,
) -> None:
    with Server(valkey_binary(), tmp_path) as server, server.client() as client:
        notify(client, KEY)
        taken: list[Message] = []
        connection: Any = BrokerConnection(server.url)  # type: ignore[no-untyped-call]  # kombu publishes no types
        queue = Queue(keys.offline_queue(KEY))  # type: ignore[no-untyped-call]
        with connection, connection.Consumer([queue], on_message=taken.append, prefetch_count=1):
            while not taken:
                connection.drain_events(timeout=20)
            assert (client.llen(keys.offline_queue(KEY)), client.hlen("unacked")) == (0, 1)
        assert (client.llen(keys.offline_queue(KEY)), client.hlen("unacked")) == (1, 0)
        again = json.loads(client.rpop(keys.offline_queue(KEY)))
        assert again["headers"]["redelivered"]
