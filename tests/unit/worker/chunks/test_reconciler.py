"""Work behind lost leases and doorbells is restored, whichever worker reconciles."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import structlog
from fakeredis import FakeAsyncRedis, FakeRedis, FakeServer

from shared import keys
from shared.errors import PayloadError
from shared.keys import ModelKey
from shared.ledger import CommitOutcome, JobState, job_transitions
from shared.payloads import PayloadStore, result_path, rows_path
from shared.worker_records import HeldModel, ModelState, WorkerRecord, WorkerState, to_hash
from tests.support.ledgers import IRIS, Clients, House
from tests.support.polling import eventually
from worker.chunks.reconciler import Reconciler, missing_doorbells

SLOTS = 2


class BrokenStore(PayloadStore):
    """A store that cannot remove anything while it is broken."""

    broken = True

    def remove_job(self, job_id: str) -> None:
        if self.broken:
            raise PayloadError("cannot remove")
        super().remove_job(job_id)


class Belfry:
    """Reconcilers of several workers on a server, and Celery's queue for their doorbells."""

    def __init__(self, clients: Clients, store: PayloadStore, *, lease_s: float = 3600.0) -> None:
        self.redis = clients.threads
        self.house = House(clients, lease_s=lease_s)
        self.store = store

    def notify(self, key: ModelKey, count: int) -> None:
        self.redis.lpush(keys.offline_queue(key), *["doorbell"] * count)

    @property
    def doorbells(self) -> int:
        return self.redis.llen(keys.offline_queue(IRIS))

    def lose_doorbells(self) -> None:
        self.redis.delete(keys.offline_queue(IRIS))

    def worker(self, name: str, state: ModelState = ModelState.LOADED) -> Reconciler:
        """The reconciler of a worker with a heartbeat that reports the iris model."""
        record = WorkerRecord(
            id=name,
            host="here",
            pid=1,
            device="cpu",
            state=WorkerState.SERVING,
            started_at="2026-01-01T00:00:00Z",
            models={IRIS: HeldModel(state=state)},
        )
        for field, text in to_hash(record).items():
            self.redis.hset(keys.worker(name), field, text)
        self.redis.zadd(keys.workers(), {name: 1})
        return Reconciler(self.redis, self.house.worker, self.store, self.notify, name, slots=SLOTS)


@pytest.fixture
def belfry(clients: Clients, tmp_path: Path) -> Belfry:
    return Belfry(clients, PayloadStore(tmp_path.as_uri()))


@pytest.mark.parametrize(
    ("ready", "slots", "queued", "missing"),
    [(0, 4, 0, 0), (9, 4, 0, 4), (3, 4, 0, 3), (9, 4, 1, 3), (9, 4, 7, 0), (9, 0, 0, 0)],
)
def test_doorbells_are_as_many_as_ready_chunks_or_live_slots(
    ready: int, slots: int, queued: int, missing: int
) -> None:
    assert missing_doorbells(ready, slots, queued) == missing


def test_the_chunks_of_an_ended_worker_are_ready_at_once_and_its_lock_is_free(belfry: Belfry) -> None:
    before = belfry.worker("w:1")
    belfry.house.submit(1)
    belfry.house.claim()
    assert before.take_turn()
    belfry.lose_doorbells()
    after = Reconciler(
        belfry.redis,
        belfry.house.worker,
        belfry.store,
        belfry.notify,
        "w:2",
        slots=SLOTS,
        ended=["w:1"],
    )
    after.take_over()
    assert belfry.doorbells == 1
    assert after.take_turn()


def test_a_lost_doorbell_is_sent_again(belfry: Belfry) -> None:
    reconciler = belfry.worker("w:1")
    belfry.house.submit(1, 1, 1)
    belfry.lose_doorbells()
    reconciler.reconcile()
    assert belfry.doorbells == SLOTS
    reconciler.reconcile()
    assert belfry.doorbells == SLOTS


def test_only_workers_that_hold_the_model_are_notified(belfry: Belfry) -> None:
    belfry.house.submit(1, 1, 1, 1, 1)
    reconciler = belfry.worker("w:1")
    belfry.worker("w:2", ModelState.LOADING)
    belfry.redis.zadd(keys.workers(), {"w:dead": 1})
    reconciler.reconcile()
    assert belfry.doorbells == SLOTS


def test_no_doorbell_is_sent_for_a_paused_job(belfry: Belfry) -> None:
    job_id = belfry.house.submit(1, 1)
    belfry.house.ask(belfry.house.gateway.pause, job_id)
    belfry.worker("w:1").reconcile()
    assert belfry.doorbells == 0


def test_a_dead_workers_chunk_is_announced_and_ends(clients: Clients, tmp_path: Path) -> None:
    belfry = Belfry(clients, PayloadStore(tmp_path.as_uri()), lease_s=0)
    job_id = belfry.house.submit(10)
    dead = belfry.house.claim()
    belfry.worker("w:1").reconcile()
    assert belfry.doorbells == 1
    belfry.house.finish()
    assert belfry.house.commit(dead) is CommitOutcome.LOST
    assert belfry.house.read(job_id).state is JobState.SUCCEEDED


def test_the_rows_of_an_upload_that_broke_off_are_removed(clients: Clients, tmp_path: Path) -> None:
    belfry = Belfry(clients, PayloadStore(tmp_path.as_uri()), lease_s=0)
    job = belfry.house.open()
    belfry.store.put(rows_path(job.id, 0), b"rows")
    belfry.worker("w:1").reconcile()
    assert belfry.house.read(job.id).state is JobState.FAILED
    with pytest.raises(PayloadError):
        belfry.store.get(rows_path(job.id, 0))


def test_a_store_that_fails_keeps_no_doorbell_from_ringing_and_is_asked_again(
    clients: Clients, tmp_path: Path
) -> None:
    store = BrokenStore(tmp_path.as_uri())
    belfry = Belfry(clients, store)
    expired = belfry.house.submit(1, retention_ms=0)
    store.put(rows_path(expired, 0), b"rows")
    belfry.house.finish()
    belfry.house.submit(1)
    reconciler = belfry.worker("w:1")
    with structlog.testing.capture_logs() as logs:
        reconciler.reconcile()
    assert "payloads_not_removed" in [entry["event"] for entry in logs]
    assert belfry.doorbells == 1
    store.broken = False
    belfry.redis.zadd(keys.expiring(), {expired: 0})  # a minute later
    reconciler.reconcile()
    assert not belfry.redis.zcard(keys.expiring())
    with pytest.raises(PayloadError):
        store.get(rows_path(expired, 0))


def test_two_that_reconcile_at_once_do_no_harm(clients: Clients, tmp_path: Path) -> None:
    belfry = Belfry(clients, PayloadStore(tmp_path.as_uri()), lease_s=0)
    reconcilers = [belfry.worker("w:1"), belfry.worker("w:2")]
    job_id = belfry.house.submit(10, 10)
    belfry.house.claim()
    for _ in range(2):
        for reconciler in reconcilers:
            reconciler.reconcile()
    assert belfry.doorbells == 2
    belfry.house.finish()
    record = belfry.house.read(job_id)
    assert (record.state, record.rows_succeeded, record.chunks_leased) == (JobState.SUCCEEDED, 20, 0)


def test_a_single_worker_leads_until_it_falls_silent(belfry: Belfry) -> None:
    first, second = belfry.worker("w:1"), belfry.worker("w:2")
    assert (first.take_turn(), second.take_turn()) == (True, False)
    belfry.redis.pexpire(keys.reconciler_lock(), 1000)
    assert first.take_turn()
    assert belfry.redis.pttl(keys.reconciler_lock()) > 1000
    belfry.redis.delete(keys.reconciler_lock())  # the lock has expired
    assert (second.take_turn(), first.take_turn()) == (True, False)


def test_it_goes_on_after_its_server_was_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("worker.chunks.reconciler.RECONCILE_EVERY_S", 0.01)
    server = FakeServer()
    clients = Clients(FakeRedis(server=server), FakeAsyncRedis(server=server))
    belfry = Belfry(clients, PayloadStore(tmp_path.as_uri()))
    belfry.house.submit(1)
    reconciler = belfry.worker("w:1")
    server.connected = False
    with structlog.testing.capture_logs() as logs:
        reconciler.start()
        eventually(lambda: [entry["event"] for entry in logs].count("reconcile_failed"))
        server.connected = True
        eventually(lambda: belfry.doorbells == 1)
        reconciler.stop()
    clients.close()


def test_a_result_that_a_dead_worker_stored_for_a_deleted_job_is_removed_once_its_lease_is_over(
    clients: Clients, tmp_path: Path
) -> None:
    belfry = Belfry(clients, PayloadStore(tmp_path.as_uri()), lease_s=0)
    job_id = belfry.house.submit(10, 10, max_errors=0)
    dying, ending = belfry.house.claim(), belfry.house.claim()
    belfry.house.commit(ending, failed=1)
    assert belfry.house.ask(belfry.house.gateway.delete, job_id)
    belfry.store.put(result_path(job_id, dying.index, dying.token), b"late")
    belfry.worker("w:1").reconcile()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_it_goes_on_after_a_pass_that_met_a_bug(belfry: Belfry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.chunks.reconciler.RECONCILE_EVERY_S", 0.01)
    reconciler, passes = belfry.worker("w:1"), list[int]()

    def broken() -> bool:
        passes.append(1)
        raise ValueError("a bug")

    monkeypatch.setattr(reconciler, "take_turn", broken)
    with structlog.testing.capture_logs() as logs:
        reconciler.start()
        eventually(lambda: len(passes) > 1)
        reconciler.stop()
    assert "reconcile_broke" in [entry["event"] for entry in logs]


def test_one_pass_expires_more_jobs_than_one_call_of_the_ledger(
    belfry: Belfry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_transitions, "expire_jobs", partial(job_transitions.expire_jobs, most=2))
    jobs = [belfry.house.submit(1, retention_ms=0) for _ in range(5)]
    belfry.house.finish()
    belfry.worker("w:1").reconcile()
    assert belfry.redis.zcard(keys.expiring()) == 0
    assert belfry.redis.hget(keys.job(jobs[-1]), "state") == b"expired"
