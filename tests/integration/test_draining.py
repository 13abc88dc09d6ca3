"""A draining worker takes no new work, loses nothing, and serves again after a resume."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import redis

from shared import keys
from tests.support.engines import Caller, Crashes, Doubling, engine, predictor
from tests.support.polling import eventually
from tests.support.servers import Server
from worker.execution.engine import Engine
from worker.execution.invalid_rows import InvalidRows
from worker.execution.slices import ChunkWork
from worker.predictors import Predictor

pytestmark = pytest.mark.integration

LIMIT_S = 30.0


@pytest.fixture
def client(valkey: Server) -> Iterator[redis.Redis]:
    with valkey.client() as made:
        made.flushdb()
        yield made


@pytest.fixture
def caller(client: redis.Redis) -> Caller:
    return Caller(client)


def drained(worker: Engine) -> None:
    worker.drain()
    eventually(lambda: worker.drained, limit_s=LIMIT_S)


def work_of(double: Predictor, rows: int) -> ChunkWork:
    return ChunkWork(double, "j/0", {"x": np.arange(float(rows))}, InvalidRows(0))


def test_what_is_in_hand_is_answered_and_what_comes_waits_for_others(
    valkey: Server, client: redis.Redis, caller: Caller
) -> None:
    model = Doubling()
    model.gate.clear()
    double = predictor(model)
    with engine(valkey.url, double, worker_id="w:1") as draining:
        held = caller.send(double, 1.0)
        assert model.running.wait(LIMIT_S)
        draining.drain()
        model.gate.set()
        assert caller.wait_for(held, limit_s=LIMIT_S)
        eventually(lambda: draining.drained, limit_s=LIMIT_S)
        left = caller.send(double, 2.0, budget_ms=60_000)
        assert client.xlen(keys.online(double.key)) == 1
        with engine(valkey.url, double, worker_id="w:2"):
            assert caller.wait_for(left, limit_s=LIMIT_S)
        assert draining.drained


def test_a_chunk_is_released_at_its_next_slice_and_a_later_chunk_at_once(
    valkey: Server, client: redis.Redis
) -> None:
    model = Doubling()
    model.gate.clear()
    double = predictor(model)
    with engine(valkey.url, double) as draining:
        running, late = work_of(double, 100), work_of(double, 100)
        draining.submit(running)
        assert model.running.wait(LIMIT_S)
        draining.drain()
        model.gate.set()
        assert running.ended.wait(LIMIT_S)
        assert 0 < running.position < running.rows
        eventually(lambda: draining.drained, limit_s=LIMIT_S)
        draining.submit(late)
        assert late.ended.wait(LIMIT_S)
        assert late.position == 0


def test_a_worker_that_is_told_to_resume_serves_both_lanes_again(valkey: Server, caller: Caller) -> None:
    double = predictor(Doubling())
    with engine(valkey.url, double) as resumed:
        drained(resumed)
        waits = caller.send(double, 2.0, budget_ms=60_000)
        resumed.resume()
        assert caller.wait_for(waits, limit_s=LIMIT_S)
        work = work_of(double, 100)
        resumed.submit(work)
        assert work.ended.wait(LIMIT_S)
        assert work.complete
        assert not resumed.drained


def test_a_drained_worker_that_is_told_to_stop_ends(valkey: Server) -> None:
    with engine(valkey.url, predictor(Doubling())) as stopping:
        drained(stopping)
        stopping.stop()
        stopping.join(LIMIT_S)
        assert not stopping.is_alive()


def test_a_chunk_that_comes_as_a_worker_is_told_to_resume_is_its_engines_alone(
    valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let go by the thread that brought it, it would vanish under a slice that runs."""
    model, crashes, late = Doubling(), Crashes(), threading.Event()
    model.gate.clear()
    double = predictor(model)
    with engine(valkey.url, double, crashes=crashes) as resumed:
        drained(resumed)
        release = resumed._release_chunks

        def release_late() -> None:
            if threading.current_thread() is not resumed:
                assert late.wait(LIMIT_S)
            release()

        monkeypatch.setattr(resumed, "_release_chunks", release_late)
        work = work_of(double, 100)
        bringing = threading.Thread(target=resumed.submit, args=[work])
        bringing.start()
        eventually(lambda: resumed._work or work.ended.is_set(), limit_s=LIMIT_S)
        resumed.resume()
        eventually(lambda: model.running.is_set() or work.ended.is_set(), limit_s=LIMIT_S)
        late.set()
        bringing.join(LIMIT_S)
        model.gate.set()
        assert work.ended.wait(LIMIT_S)
    assert crashes.errors == []
