"""`takt workers drain` and `undrain`: selection of workers, orders, and waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fakeredis
import msgspec
import pytest
import redis
from typer.testing import CliRunner

from shared import keys
from shared.worker_records import (
    GpuUse,
    LastExit,
    SupervisorFacts,
    WorkerRecord,
    WorkerState,
    from_hash,
    to_hash,
)
from stack import redis_url
from stack.operator_cli import workers as program

RUNNER = CliRunner()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> redis.Redis:
    made = fakeredis.FakeRedis()

    @contextmanager
    def connect(_: str) -> Iterator[redis.Redis]:
        yield made

    monkeypatch.setattr(redis_url, "connect", connect)
    monkeypatch.setattr(redis_url, "queue_url", lambda _: "redis://queue")
    return made


@pytest.fixture
def beat(client: redis.Redis) -> Callable[..., str]:
    def beat(name: str, *, drained: bool = False) -> str:
        """Write the heartbeat of a worker with this name. Returns its id."""
        record = WorkerRecord(
            id=f"{name}:1",
            host="here",
            pid=1,
            device="cpu",
            state=WorkerState.DRAINING if drained else WorkerState.SERVING,
            started_at="2026-01-01T00:00:00+00:00",
            models={},
            drained=drained,
        )
        client.zadd(keys.workers(), {record.id: 1})
        client.hset(keys.worker(record.id), mapping=dict[Any, Any](to_hash(record)))
        return record.id

    return beat


def test_the_list_shows_cpu_gpu_and_restarts(client: redis.Redis, beat: Callable[..., str]) -> None:
    record = from_hash(client.hgetall(keys.worker(beat("w/0"))))  # type: ignore[arg-type]
    assert record
    gpu = GpuUse(utilization_percent=87, used_bytes=10 * 2**30, total_bytes=80 * 2**30)
    last = LastExit(worker="w/0:0", at="2026-01-01T00:00:00+00:00", reason="was killed by SIGKILL")
    supervisor = SupervisorFacts(name="w", pid=1, workers=1, restarts=2, last_exit=last)
    busy = msgspec.structs.replace(record, device="cuda:0", cpu_percent=253.4, gpu=gpu, supervisor=supervisor)
    client.hset(keys.worker(record.id), mapping=dict[Any, Any](to_hash(busy)))
    beat("earlier/0")
    shown = RUNNER.invoke(program, ["list"]).stdout
    for words in ("cuda:0 87 % 10.0/80.0 GiB", "253 %", "2, last w/0:0 was killed by SIGKILL"):
        assert words in shown
    assert [line.count("%") for line in shown.splitlines()] == [0, 0, 2]


def ordered(client: redis.Redis) -> set[str]:
    return {key.decode() for key in client.scan_iter(keys.drain("*"))}


def test_a_worker_is_drained_by_its_name_or_id(client: redis.Redis, beat: Callable[..., str]) -> None:
    one, other, _ = beat("one"), beat("other"), beat("third")
    result = RUNNER.invoke(program, ["drain", "one", other])
    assert result.exit_code == 0, result.output
    assert ordered(client) == {keys.drain(one), keys.drain(other)}
    assert 0 < client.ttl(keys.drain(one)) <= 86_400


def test_all_workers_are_drained_and_undrained(client: redis.Redis, beat: Callable[..., str]) -> None:
    workers = {beat("one"), beat("other")}
    assert RUNNER.invoke(program, ["drain", "--all"]).exit_code == 0
    assert ordered(client) == {keys.drain(worker_id) for worker_id in workers}
    assert RUNNER.invoke(program, ["undrain", "--all"]).exit_code == 0
    assert ordered(client) == set()


@pytest.mark.parametrize("words", [["drain"], ["drain", "one", "--all"], ["undrain"]])
def test_drain_requires_workers_or_all(
    client: redis.Redis, beat: Callable[..., str], words: list[str]
) -> None:
    beat("one")
    result = RUNNER.invoke(program, words)
    assert (result.exit_code, "--all" in result.output) == (1, True)
    assert ordered(client) == set()


def test_an_unknown_worker_is_reported_with_the_live_workers(
    client: redis.Redis, beat: Callable[..., str]
) -> None:
    beat("one")
    result = RUNNER.invoke(program, ["drain", "one", "two"])
    assert result.exit_code == 1
    assert "unknown worker: two; live workers: one:1" in result.output
    assert ordered(client) == set()


def test_waiting_ends_when_no_worker_holds_work(client: redis.Redis, beat: Callable[..., str]) -> None:
    beat("one", drained=True)
    result = RUNNER.invoke(program, ["drain", "one", "--wait"])
    assert (result.exit_code, result.output) == (0, "one:1 is drained\n")


def test_waiting_ends_after_its_limit(client: redis.Redis, beat: Callable[..., str]) -> None:
    beat("one")
    result = RUNNER.invoke(program, ["drain", "one", "--wait", "--limit", "0"])
    assert result.exit_code == 1
    assert "still holding work after 0 s: one:1" in result.output


def test_the_list_shows_drained_workers(
    client: redis.Redis, beat: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    beat("one", drained=True)
    assert "drained" in RUNNER.invoke(program, ["list", "--data", str(Path())]).output
