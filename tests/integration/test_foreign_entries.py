"""Entries for another spec of a model version: a worker refuses them, or leaves them to a that has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from shared import keys
from shared.worker_records import HeldModel, ModelState, WorkerRecord, WorkerState, to_hash
from tests.support.engines import Caller, Doubling, engine, predictor, take_and_die
from tests.support.polling import eventually
from tests.support.servers import Server
from worker.predictors import Predictor

pytestmark = pytest.mark.integration

OTHER_SPEC: dict[str, Any] = {"outputs": [{"name": "y", "view": "value", "round": 3}]}


@pytest.fixture(params=["valkey", "redis7"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with server.client() as made:
        made.flushdb()
        yield made


def heartbeat(client: redis.Redis, worker_id: str, of: Predictor) -> None:
    """Let a worker report the model of this predictor as loaded."""
    identity = of.version.identity
    held = HeldModel(
        state=ModelState.LOADED, digest=identity.artifact_sha256, spec_digest=identity.spec_sha256
    )
    record = WorkerRecord(
        id=worker_id,
        host="here",
        pid=1,
        device="cpu",
        state=WorkerState.SERVING,
        started_at="2026-01-01T00:00:00Z",
        models={of.key: held},
    )
    client.hset(keys.worker(worker_id), mapping=to_hash(record))  # type: ignore[arg-type]  # a dict of texts
    client.zadd(keys.workers(), {worker_id: 1})


def test_an_entry_for_another_spec_is_refused_with_the_digests_of_both(
    server: Server, client: redis.Redis
) -> None:
    own, other = predictor(Doubling()), predictor(Doubling(), **OTHER_SPEC)
    caller = Caller(client, identity=other.version.identity.wire)
    with engine(server.url, own):
        (answer,) = caller.wait_for(caller.send(own, 3.0))
    assert answer.failure is not None
    assert answer.failure.code == "model_mismatch"
    assert own.version.identity.spec_sha256[:12] in answer.failure.detail
    assert other.version.identity.spec_sha256[:12] in answer.failure.detail
    assert "w:1" in answer.failure.detail


def test_an_entry_for_the_same_spec_is_answered(server: Server, client: redis.Redis) -> None:
    own = predictor(Doubling())
    caller = Caller(client, identity=own.version.identity.wire)
    with engine(server.url, own):
        assert caller.values(caller.send(own, 3.0)) == [6.0]


def test_a_worker_leaves_entries_to_another_that_has_their_spec(server: Server, client: redis.Redis) -> None:
    right, wrong_model = Doubling(), Doubling()
    own, other = predictor(right), predictor(wrong_model, **OTHER_SPEC)
    caller = Caller(client, identity=own.version.identity.wire)
    heartbeat(client, "right:1", own)
    heartbeat(client, "wrong:1", other)
    with engine(server.url, other, worker_id="wrong:1"):
        ids = caller.send_all(own, [[float(x)] for x in range(20)])
        with engine(server.url, own, worker_id="right:1"):
            assert caller.values(*ids) == [2.0 * x for x in range(20)]
            later = [caller.send(own, float(x)) for x in range(50)]
            assert caller.values(*later) == [2.0 * x for x in range(50)]
            eventually(lambda: client.xlen(keys.online(own.key)) == 0)
    assert wrong_model.batches == []


def test_two_specs_at_once_are_each_served_by_their_own_worker(server: Server, client: redis.Redis) -> None:
    """As while gateways and workers are replaced in turn."""
    old_model, new_model = Doubling(), Doubling()
    old, new = predictor(old_model), predictor(new_model, **OTHER_SPEC)
    of_old = Caller(client, "old:1", identity=old.version.identity.wire)
    of_new = Caller(client, "new:1", identity=new.version.identity.wire)
    heartbeat(client, "w-old:1", old)
    heartbeat(client, "w-new:1", new)
    with engine(server.url, old, worker_id="w-old:1"), engine(server.url, new, worker_id="w-new:1"):
        ids = [(of_old.send(old, float(x)), of_new.send(new, float(x))) for x in range(60)]
        assert of_old.values(*(first for first, _ in ids)) == [2.0 * x for x in range(60)]
        assert of_new.values(*(second for _, second in ids)) == [2.0 * x for x in range(60)]
    assert sum(old_model.batches) == sum(new_model.batches) == 60


def test_an_entry_that_ended_a_worker_is_not_put_back(server: Server, client: redis.Redis) -> None:
    own, other = predictor(Doubling()), predictor(Doubling(), **OTHER_SPEC)
    caller = Caller(client, identity=own.version.identity.wire)
    heartbeat(client, "right:1", own)
    client.xgroup_create(keys.online(own.key), keys.WORKER_GROUP, id="0", mkstream=True)
    sent = caller.send(own, 3.0)
    take_and_die(client, own)
    with engine(server.url, other, worker_id="wrong:1"):
        (answer,) = caller.wait_for(sent)
    assert answer.failure is not None
    assert answer.failure.code == "model_mismatch"
