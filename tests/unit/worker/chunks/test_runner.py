"""A chunk from claim to commit, through faults of Redis and of the payload store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError

from shared import keys
from shared.arrow_tables import batch_of_rows, read_ipc, streamed_schema, write_ipc
from shared.dead_letters import DeadLetters
from shared.errors import PayloadStoreAwayError
from shared.keys import model_key
from shared.ledger import ChunkState, JobState, Ledger, NewJob, new_job_id
from shared.payloads import PayloadStore, result_path, rows_path
from tests.support.engines import BAD, Doubling, predictor
from tests.support.ledgers import Clients, House
from tests.support.polling import eventually
from worker.chunks import chunk_result
from worker.chunks import chunk_runner as chunks
from worker.chunks.chunk_runner import QUARANTINED_ATTEMPT, ChunkRunner
from worker.execution.slices import ChunkWork
from worker.sandbox.sandbox_runner import SandboxRunner
from worker.telemetry.worker_counters import ChunkCounters

DOUBLE = predictor(Doubling())
KEY = model_key("double", "1.0.0")


def nothing() -> None:
    """A fault without a callback."""


class Inline:
    """An engine that runs a chunk in the thread that submits it."""

    def __init__(self) -> None:
        self.before: Callable[[], None] = nothing
        self.lets_go = False

    def submit(self, work: ChunkWork) -> None:
        self.before()
        while not (work.over or self.lets_go):
            work.run_slice(8, lambda: None)
        work.ended.set()


class MoodyStore(PayloadStore):
    """A store that is away while `troubles` is not empty: each of them fails a call and is then called."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder.as_uri())
        self.troubles: list[Callable[[], None]] = []
        self.on_put: Callable[[], object] = nothing

    def put(self, path: str, data: bytes) -> None:
        self._be_away()
        super().put(path, data)
        self.on_put()

    def get(self, path: str) -> bytes:
        self._be_away()
        return super().get(path)

    def _be_away(self) -> None:
        if self.troubles:
            self.troubles.pop(0)()
            raise PayloadStoreAwayError("the store is full")


class Shop:
    """A worker's chunk runner, without the worker."""

    def __init__(self, clients: Clients, folder: Path) -> None:
        self.house = House(clients)
        self._folder = folder
        self.store = MoodyStore(folder)
        self.engine = Inline()
        self.runner = self.runner_of(self.house.worker, clients.threads)

    def runner_of(self, ledger: Ledger, client: redis.Redis) -> ChunkRunner:
        return ChunkRunner(
            ledger,
            self.store,
            self.engine,
            {KEY: DOUBLE},
            DeadLetters(client),
            quarantine=SandboxRunner(20.0),
            lease_s=30.0,
            counters=ChunkCounters(),
        )

    def submit(self, *xs: float) -> str:
        """A job of a chunk."""
        job_id = self.house.submit(len(xs), model="double", digest="")
        schema = streamed_schema(DOUBLE.spec, {})
        rows = pa.RecordBatch.from_pylist([{"x": x, "error": None} for x in xs], schema=schema)
        PayloadStore.put(self.store, rows_path(job_id, 0), write_ipc([rows], schema))
        return job_id

    def submit_small(self, *xs: float) -> str:
        """A job with its rows in the ledger."""
        job = NewJob(id=new_job_id(), model="double", version="1.0.0", digest="", owner="anonymous")
        rows = batch_of_rows(DOUBLE.spec, [{"x": x} for x in xs])
        self.house.ask(self.house.gateway.submit, job, len(xs), write_ipc([rows], rows.schema))
        return job.id

    def small_results(self, job_id: str) -> list[float | None]:
        """The results in the ledger."""
        (name, *_) = DOUBLE.spec.outputs
        result = self.house.ask(self.house.gateway.inline, job_id).result
        values: list[float | None] = read_ipc(result)[name.name].to_pylist()
        return values

    def results(self) -> list[Path]:
        return [path for path in self._folder.rglob("out/*") if path.is_file()]


@pytest.fixture
def shop(clients: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(chunks, "RETRY_S", 0.001)
    monkeypatch.setattr("worker.chunks.chunk_ledger.COMMIT_RETRY_S", 0.001)
    return Shop(clients, tmp_path)


@pytest.mark.parametrize("calls", [1, 40])
def test_a_store_that_is_away_costs_a_chunk_no_attempt_and_no_row(shop: Shop, calls: int) -> None:
    job_id = shop.submit(1.0, 2.0)
    shop.store.troubles = [nothing] * calls
    assert shop.runner.run_next(KEY)
    record = shop.house.read(job_id)
    assert (record.state, record.rows_succeeded, record.rows_failed) == (JobState.SUCCEEDED, 2, 0)
    assert shop.house.chunks(job_id)[0].attempts == 1


def test_a_chunk_whose_job_is_canceled_while_the_store_is_away_is_let_go(shop: Shop) -> None:
    job_id = shop.submit(1.0)
    shop.store.troubles = [lambda: cast(None, shop.house.ask(shop.house.gateway.cancel, job_id))] * 2
    shop.runner.run_next(KEY)
    assert shop.house.read(job_id).state is JobState.CANCELED


def test_a_worker_that_drains_while_the_store_is_away_hands_its_chunk_back(shop: Shop) -> None:
    job_id = shop.submit(1.0)
    shop.store.troubles = [shop.runner.pause] * 2
    shop.runner.run_next(KEY)
    (chunk,) = shop.house.chunks(job_id)
    assert (chunk.state, chunk.attempts) == (ChunkState.READY, 0)
    assert shop.runner.idle


def quarantined(shop: Shop, clients: Clients, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A job with a chunk that ended two workers. The process that it runs in next sends nothing."""
    job_id = shop.submit(1.0)
    for _ in range(QUARANTINED_ATTEMPT - 1):
        assert shop.house.worker.claim(KEY)
        for lease, _ in clients.threads.zscan_iter(keys.leases()):
            clients.threads.zadd(keys.leases(), {lease: 0})
        shop.house.worker.expire_leases()
    silent = folder / "silent.sh"
    silent.write_text("#!/bin/sh\nexec cat\n")
    silent.chmod(0o755)
    monkeypatch.setattr("worker.environments.commands.sys.executable", str(silent))
    return job_id


@pytest.mark.parametrize("leave", [ChunkRunner.pause, ChunkRunner.stop], ids=["drains", "stops"])
def test_a_quarantined_chunk_is_handed_back_when_its_worker_drains_or_stops(
    shop: Shop,
    clients: Clients,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    leave: Callable[[ChunkRunner], None],
) -> None:
    job_id = quarantined(shop, clients, tmp_path, monkeypatch)
    thread = threading.Thread(target=shop.runner.run_next, args=[KEY], daemon=True)
    thread.start()
    eventually(lambda: shop.house.chunks(job_id)[0].attempts == QUARANTINED_ATTEMPT)
    leave(shop.runner)
    thread.join(10)
    assert not thread.is_alive()
    (chunk,) = shop.house.chunks(job_id)
    assert (chunk.state, chunk.attempts) == (ChunkState.READY, QUARANTINED_ATTEMPT - 1)


def test_a_quarantined_chunk_whose_job_is_canceled_is_let_go(
    shop: Shop, clients: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = quarantined(shop, clients, tmp_path, monkeypatch)
    thread = threading.Thread(target=shop.runner.run_next, args=[KEY], daemon=True)
    thread.start()
    eventually(lambda: shop.house.chunks(job_id)[0].attempts == QUARANTINED_ATTEMPT)
    shop.house.ask(shop.house.gateway.cancel, job_id)
    thread.join(10)
    assert not thread.is_alive()
    assert shop.house.read(job_id).state is JobState.CANCELED


def test_patience_with_a_store_has_an_end(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "STORE_PATIENCE_S", 0.0)
    job_id = shop.submit(1.0)
    shop.store.troubles = [nothing]
    shop.runner.run_next(KEY)
    (chunk,) = shop.house.chunks(job_id)
    assert (chunk.state, chunk.attempts) == (ChunkState.READY, 1)


def test_rows_that_are_missing_are_looked_for_again_later_and_later_before_they_count_as_lost(
    shop: Shop, clients: Clients
) -> None:
    job_id = shop.submit(1.0)
    shop.store.remove(rows_path(job_id, 0))
    delays_s = []
    while shop.runner.run_next(KEY):
        delays_s.append(_delay_s(clients))
        _run_out(clients)
        shop.house.worker.expire_leases()
    assert delays_s == [2, 4, 0]  # after the last of three attempts there is no delay
    record = shop.house.read(job_id)
    assert (record.state, record.rows_failed) == (JobState.SUCCEEDED, 1)
    assert "payload_lost" in shop.house.chunks(job_id)[0].error


def test_a_chunk_whose_rows_come_back_meanwhile_loses_no_row(shop: Shop, clients: Clients) -> None:
    job_id = shop.submit(1.0)
    rows = shop.store.get(rows_path(job_id, 0))
    shop.store.remove(rows_path(job_id, 0))
    shop.runner.run_next(KEY)
    assert not shop.runner.run_next(KEY)  # it is delayed
    shop.store.put(rows_path(job_id, 0), rows)
    _run_out(clients)
    shop.house.worker.expire_leases()
    assert shop.runner.run_next(KEY)
    assert shop.house.read(job_id).rows_succeeded == 1


def _delay_s(clients: Clients) -> int:
    """Seconds until the only lease ends; 0: there is no lease."""
    leases: Any = clients.threads.zrange(keys.leases(), 0, -1, withscores=True)
    seconds, micros = clients.threads.time()
    return round(leases[0][1] / 1000 - seconds - micros / 1e6) if leases else 0


def _run_out(clients: Clients) -> None:
    for lease, _ in clients.threads.zscan_iter(keys.leases()):
        clients.threads.zadd(keys.leases(), {lease: 0})


class Unheard(Ledger):
    """A ledger that loses the answer to a commit: the commit counts, but the worker gets no answer."""

    def commit_some(self, *args: object) -> None:  # type: ignore[override]
        super().commit_some(*args)  # type: ignore[arg-type]
        raise RedisConnectionError("the connection was closed")


def test_a_commit_without_an_answer_as_its_worker_stops_keeps_its_result(
    shop: Shop, clients: Clients
) -> None:
    job_id = shop.submit(1.0, 2.0)
    ledger = Unheard(clients.threads, lambda *_: None, worker="w:1", lease_s=30.0, max_attempts=3)
    runner = shop.runner_of(ledger, clients.threads)
    shop.store.on_put = runner.stop
    runner.run_next(KEY)
    assert shop.house.read(job_id).state is JobState.SUCCEEDED
    (chunk,) = shop.house.chunks(job_id)
    assert shop.store.get(result_path(job_id, 0, chunk.token))


def test_a_result_that_another_worker_was_quicker_with_is_removed(shop: Shop, clients: Clients) -> None:
    job_id = shop.submit(1.0)

    def run_out() -> None:
        [(lease, _)] = clients.threads.zscan_iter(keys.leases())
        clients.threads.zadd(keys.leases(), {lease: 0})
        shop.house.worker.expire_leases()

    shop.store.on_put = run_out
    shop.runner.run_next(KEY)
    assert shop.house.read(job_id).rows_done == 0
    assert shop.results() == []


def test_rows_that_succeeded_and_failed_are_counted_apart(shop: Shop) -> None:
    job_id = shop.submit(1.0, BAD, 2.0)
    assert shop.runner.run_next(KEY)
    job = shop.house.read(job_id)
    assert (job.rows_succeeded, job.rows_failed) == (2, 1)


def test_small_jobs_run_together_and_each_has_its_own_results(shop: Shop) -> None:
    jobs = [shop.submit_small(float(x), x + 0.5) for x in range(4)]
    assert shop.runner.run_next(KEY)
    assert not shop.runner.run_next(KEY)
    assert [shop.small_results(job_id) for job_id in jobs] == [[2.0 * x, 2 * x + 1.0] for x in range(4)]
    assert {shop.house.read(job_id).state for job_id in jobs} == {JobState.SUCCEEDED}
    assert shop.results() == []


def test_of_small_jobs_that_run_together_only_the_row_fails_that_the_model_refuses(shop: Shop) -> None:
    good, bad = shop.submit_small(1.0), shop.submit_small(-1.0, 3.0)
    shop.runner.run_next(KEY)
    assert shop.small_results(good) == [2.0]
    record = shop.house.read(bad)
    assert (record.state, record.rows_succeeded, record.rows_failed) == (JobState.SUCCEEDED, 1, 1)
    assert shop.small_results(bad) == [None, 6.0]


def test_a_small_chunk_that_cannot_be_read_is_handed_back_and_its_neighbours_end(
    shop: Shop, clients: Clients
) -> None:
    good, torn = shop.submit_small(1.0), shop.submit_small(2.0)
    clients.threads.hset(keys.job_inline(torn), "rows", b"no rows")
    shop.runner.run_next(KEY)
    assert shop.house.read(good).state is JobState.SUCCEEDED
    (chunk,) = shop.house.chunks(torn)
    assert (chunk.state, chunk.attempts) == (ChunkState.READY, 1)


def test_a_small_job_that_is_canceled_while_it_runs_with_others_ends_as_canceled(shop: Shop) -> None:
    kept, canceled = shop.submit_small(1.0), shop.submit_small(2.0)
    shop.engine.before = lambda: cast(None, shop.house.ask(shop.house.gateway.cancel, canceled))
    shop.runner.run_next(KEY)
    states = [shop.house.read(job_id).state for job_id in (kept, canceled)]
    assert states == [JobState.SUCCEEDED, JobState.CANCELED]


def test_small_chunks_that_the_engine_lets_go_are_all_handed_back_without_blame(shop: Shop) -> None:
    jobs = [shop.submit_small(1.0), shop.submit_small(2.0)]
    shop.engine.lets_go = True
    shop.runner.run_next(KEY)
    chunks = [shop.house.chunks(job_id)[0] for job_id in jobs]
    assert {(chunk.state, chunk.attempts) for chunk in chunks} == {(ChunkState.READY, 0)}


def test_small_chunks_whose_worker_dies_come_back_and_are_run_separately(
    shop: Shop, clients: Clients
) -> None:
    jobs = [shop.submit_small(1.0), shop.submit_small(2.0)]
    claims = shop.house.worker.claim_some(KEY, most=9, most_rows=64)
    assert len(claims) == 2  # the worker then disappears
    for lease, _ in clients.threads.zscan_iter(keys.leases()):
        clients.threads.zadd(keys.leases(), {lease: 0})
    shop.house.worker.expire_leases()
    assert [shop.runner.run_next(KEY) for _ in range(3)] == [True, True, False]
    assert {shop.house.read(job_id).state for job_id in jobs} == {JobState.SUCCEEDED}
    assert {shop.house.chunks(job_id)[0].attempts for job_id in jobs} == {2}


def test_results_that_are_too_large_for_the_ledger_lie_in_the_store(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_result, "INLINE_BYTES", 0)
    stored, refused = shop.submit_small(1.0), shop.submit_small(2.0)
    shop.store.troubles = [nothing]  # one of them is then stored alone
    shop.runner.run_next(KEY)
    assert {shop.house.read(job_id).state for job_id in (stored, refused)} == {JobState.SUCCEEDED}
    assert len(shop.results()) == 2


def test_small_chunks_whose_leases_ran_out_as_they_ran_count_nothing(shop: Shop, clients: Clients) -> None:
    jobs = [shop.submit_small(1.0), shop.submit_small(2.0)]

    def run_out() -> None:
        for lease, _ in clients.threads.zscan_iter(keys.leases()):
            clients.threads.zadd(keys.leases(), {lease: 0})
        shop.house.worker.expire_leases()

    shop.engine.before = run_out
    shop.runner.run_next(KEY)
    assert {shop.house.chunks(job_id)[0].state for job_id in jobs} == {ChunkState.READY}
    assert {shop.house.read(job_id).rows_done for job_id in jobs} == {0}


def test_all_leases_are_kept_while_one_of_several_results_is_stored(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_result, "INLINE_BYTES", 0)
    monkeypatch.setattr(chunks, "LOOK_EVERY_S", 0.0)
    runner = shop.runner_of(shop.house.worker, clients.threads)
    jobs = [shop.submit_small(1.0), shop.submit_small(2.0)]

    def nearly_run_out() -> None:
        for lease, _ in clients.threads.zscan_iter(keys.leases()):
            clients.threads.zadd(keys.leases(), {lease: 1})
        runner._keeper.renew_due()
        assert shop.house.worker.expire_leases().orphaned == []

    shop.store.on_put = nearly_run_out
    runner.run_next(KEY)
    assert {shop.house.chunks(job_id)[0].attempts for job_id in jobs} == {1}
    assert {shop.house.read(job_id).state for job_id in jobs} == {JobState.SUCCEEDED}
