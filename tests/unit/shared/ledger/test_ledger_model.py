"""In any order of events, the ledger behaves like a simple model of it, on three servers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, count
from typing import Any

import pytest
from fakeredis import FakeRedis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared import keys
from shared.api_keys import Share, encode_share
from shared.errors import JobExpiredError, JobNotFoundError, TooManyJobsError
from shared.ledger import (
    ChunkRecord,
    ChunkState,
    Claim,
    Ended,
    JobRecord,
    JobState,
    NewJob,
    Recomputed,
    Reservation,
    Submitted,
)
from shared.ledger.serialization import chunks_from_hash, job_from_hash
from tests.support.ledger_model import LedgerModel, Service
from tests.support.ledgers import IRIS, NEVER_S, Clients, House, beat

MOST_JOBS = 5
STEPS = 40
MAX_ATTEMPTS = 2
OWNERS = ["o", "p"]
NAMES = ["", "key-1", "key-2"]
ROWS = st.lists(st.integers(1, 100), max_size=6)
WORKERS = ["w:1", "w:2"]
BRIEF = st.sampled_from([False, False, False, True])
PICK = st.integers(0, 59)


class LedgerMachine(RuleBasedStateMachine):
    """Each rule changes the ledger and its model alike, and expects the same answer."""

    def __init__(self, clients: Clients) -> None:
        super().__init__()
        clients.threads.flushdb()
        self._redis = clients.threads
        self._houses = {
            (worker, brief): House(
                clients,
                lease_s=0 if brief else NEVER_S,
                max_attempts=MAX_ATTEMPTS,
                worker=worker,
                grace_s=0,
            )
            for worker in WORKERS
            for brief in (False, True)
        }
        self._lasting = self._houses["w:1", False]
        for worker in WORKERS:
            beat(self._redis, worker)
        self._model = LedgerModel(MAX_ATTEMPTS)
        # ties are ordered by job id: with random ids the same steps would not be the same run
        self._ids = (f"{number:032x}" for number in count(1))
        self._opened: list[str] = []
        self._claimed: list[Claim] = []
        self._ended: dict[str, JobState] = {}
        self._level: dict[
            tuple[str, str], float
        ] = {}  # difference of two queued jobs when both began to wait

    def _house(self, brief: bool, worker: str = "w:1") -> House:
        house = self._houses[worker, brief]
        house.notified.clear()
        return house

    def _job(self, pick: int) -> str:
        """An existing job, or the job that was removed last."""
        gone = [job_id for job_id in self._opened if job_id not in self._model.jobs]
        known = [*self._model.jobs, *gone[-1:]]
        return known[pick % len(known)]

    def _claim_of(self, pick: int) -> Claim:
        """A held claim, or a recently lost claim, to produce late and duplicate calls."""
        held = [claim for claim in self._claimed if self._model.held(claim)]
        known = held + [claim for claim in self._claimed if claim not in held][-3:]
        return known[pick % len(known)]

    @precondition(lambda self: len(self._model.jobs) < MOST_JOBS)
    @rule(
        brief=BRIEF,
        rows=ROWS,
        whole=st.booleans(),
        priority=st.integers(0, 9),
        name=st.sampled_from(NAMES),
        owner=st.sampled_from(OWNERS),
        budget=st.sampled_from([(None, None), (None, None), (20, None), (None, 0.2)]),
        retention_ms=st.sampled_from([0, 3_600_000]),
    )
    def open(
        self,
        *,
        brief: bool,
        rows: list[int],
        whole: bool,
        priority: int,
        name: str,
        owner: str,
        budget: tuple[int | None, float | None],
        retention_ms: int,
    ) -> None:
        house, job_id = self._house(brief), next(self._ids)
        if name:
            taken = house.ask(house.gateway.reserve, name, job_id)
            assert taken == self._model.reserve(name, job_id, brief=brief)
            if taken:
                return
        job = NewJob(
            id=job_id,
            model="iris",
            version="1.0.0",
            digest="d",
            owner=owner,
            priority=priority,
            idempotency=name,
            retention_ms=retention_ms,
            max_errors=budget[0],
            max_error_share=budget[1],
        )
        if self._model.has_max_jobs(owner):
            with pytest.raises(TooManyJobsError):
                house.ask(house.gateway.open_job, job)
            self._free_key(name, job_id)
            return
        house.ask(house.gateway.open_job, job)
        self._model.open(job, brief=brief)
        self._opened.append(job_id)
        if rows:
            self._append(job_id, rows, brief)
        if whole:
            self._seal(job_id)

    def _free_key(self, name: str, job_id: str) -> None:
        """As a gateway does if the job is rejected."""
        if name and self._lasting.ask(self._lasting.gateway.unreserve, name, job_id):
            assert self._model.keys.pop(name).job_id == job_id

    @rule(
        owner=st.sampled_from(OWNERS),
        weight=st.sampled_from([0.5, 1.0, 3.0]),
        max_running_rows=st.sampled_from([None, None, 1, 50, 150]),
        max_jobs=st.sampled_from([None, None, 1, 2]),
    )
    def share(self, owner: str, weight: float, max_running_rows: int | None, max_jobs: int | None) -> None:
        """As `takt keys set` does."""
        share = Share(weight=weight, max_running_rows=max_running_rows, max_jobs=max_jobs)
        self._redis.hset(keys.access_shares(), owner, encode_share(share))
        self._model.shares[owner] = share
        self._level.clear()

    @precondition(lambda self: len(self._model.jobs) < MOST_JOBS)
    @rule(
        rows=st.integers(1, 9),
        priority=st.integers(0, 9),
        name=st.sampled_from(NAMES),
        owner=st.sampled_from(OWNERS),
    )
    def submit(self, rows: int, priority: int, name: str, owner: str) -> None:
        """A small job with rows in the ledger."""
        house, job_id = self._house(brief=False), next(self._ids)
        job = NewJob(
            id=job_id,
            model="iris",
            version="1.0.0",
            digest="d",
            owner=owner,
            priority=priority,
            idempotency=name,
        )
        options = {"digest": "sha", "keep_s": NEVER_S, "short": MOST_JOBS}
        if name not in self._model.keys and self._model.has_max_jobs(owner):
            with pytest.raises(TooManyJobsError):
                house.ask(house.gateway.submit, job, rows, b"rows", **options)
            return
        made = house.ask(house.gateway.submit, job, rows, b"rows", **options)
        taken = self._model.submit(job, rows, b"rows", digest="sha")
        if taken is not None:
            assert (made, house.notified) == (taken, [])
            return
        self._opened.append(job_id)
        assert isinstance(made, Submitted)
        assert made.record == house.read(job_id)
        assert made.line is not None
        assert made.line.jobs == house.ask(house.gateway.line, IRIS, most=MOST_JOBS).jobs
        assert house.notified == [(IRIS, 1)]

    @precondition(lambda self: self._opened)
    @rule(pick=PICK, rows=ROWS, brief=BRIEF)
    def append(self, pick: int, rows: list[int], brief: bool) -> None:
        self._append(self._job(pick), rows, brief)

    def _append(self, job_id: str, rows: list[int], brief: bool) -> None:
        house = self._house(brief)
        try:
            first = house.ask(house.gateway.append_chunks, job_id, IRIS, rows)
        except JobNotFoundError:
            first = None
        assert first == self._model.append(job_id, rows, brief=brief)
        doorbells = min(len(rows), 8) if first is not None else 0
        assert house.notified == ([(IRIS, doorbells)] if doorbells else [])

    @precondition(lambda self: self._opened)
    @rule(pick=PICK)
    def seal(self, pick: int) -> None:
        self._seal(self._job(pick))

    def _seal(self, job_id: str) -> None:
        try:
            state = self._lasting.ask(self._lasting.gateway.seal, job_id).state
        except JobNotFoundError:
            state = None
        assert state == self._model.seal(job_id)

    @precondition(lambda self: self._opened)
    @rule(pick=PICK, rows=ROWS)
    def fill(self, pick: int, rows: list[int]) -> None:
        """The effect of `append` and then `seal`."""
        house, job_id = self._house(brief=False), self._job(pick)
        known = self._model.jobs.get(job_id)
        try:
            first = len(known.chunks) if known else 0
            state = house.ask(house.gateway.fill, job_id, IRIS, rows, first=first).state
        except JobNotFoundError:
            state = None
        self._model.append(job_id, rows, brief=False)
        assert state == self._model.seal(job_id)
        doorbells = min(len(rows), 8) if state is not None else 0
        assert house.notified == ([(IRIS, doorbells)] if doorbells else [])

    @precondition(lambda self: self._opened)
    @rule(pick=PICK, name=st.sampled_from(NAMES[1:]))
    def bind(self, pick: int, name: str) -> None:
        job_id = self._job(pick)
        bound = self._lasting.ask(self._lasting.gateway.bind, name, job_id, "sha", keep_s=NEVER_S)
        assert bound == self._model.bind(name, job_id, "sha")

    @precondition(lambda self: self._model.jobs)
    @rule(brief=st.booleans(), most=st.integers(1, 6), worker=st.sampled_from(WORKERS))
    def claim(self, brief: bool, most: int, worker: str) -> None:
        for _ in range(most):
            self._claim(brief, worker)

    @precondition(lambda self: self._model.jobs)
    @rule(brief=BRIEF, most=st.integers(1, 6), most_rows=st.integers(1, 20), worker=st.sampled_from(WORKERS))
    def claim_some(self, brief: bool, most: int, most_rows: int, worker: str) -> None:
        ledger = self._house(brief, worker).worker
        claims = ledger.claim_some(IRIS, most=most, most_rows=most_rows)
        token = claims[0].token if claims else ""
        assert claims == self._model.claim_some(
            token, worker=worker, brief=brief, most=most, most_rows=most_rows
        )
        assert all(ledger.renew(held) for held in claims)  # their leases are short until then
        self._claimed += claims

    @precondition(lambda self: len(self._claimed) > 1)
    @rule(picks=st.lists(PICK, min_size=2, max_size=4), share=st.sampled_from([0.0, 0.0, 1.0]))
    def commit_some(self, picks: list[int], share: float) -> None:
        """Several claims at once, including late and duplicate claims: each is decided on its own."""
        house, held = self._house(brief=False), [self._claim_of(pick) for pick in picks]
        failed = [round(one.rows * share) for one in held]
        ended = [
            Ended(held=one, rows_succeeded=one.rows - most, rows_failed=most, result=one.data)
            for one, most in zip(held, failed, strict=True)
        ]
        outcomes = [self._model.commit(one, failed=most) for one, most in zip(held, failed, strict=True)]
        assert house.worker.commit_some(IRIS, ended) == outcomes
        assert house.notified == ([(IRIS, 1)] if self._model.anything_ready() else [])

    @precondition(lambda self: self._model.jobs)
    @rule(most=st.integers(1, 6))
    def work(self, most: int) -> None:
        for _ in range(most):
            held = self._claim(brief=False)
            if held:
                self._commit(held, 0.0)

    def _claim(self, brief: bool, worker: str = "w:1") -> Claim | None:
        held = self._house(brief, worker).worker.claim(IRIS)
        assert held == self._model.claim(held.token if held else "", worker=worker, brief=brief)
        self._claimed += [held] if held else []
        return held

    @precondition(lambda self: self._claimed)
    @rule(pick=PICK, brief=st.booleans())
    def renew(self, pick: int, brief: bool) -> None:
        held = self._claim_of(pick)
        assert self._house(brief).worker.renew(held) == self._model.renew(held, brief=brief)

    @precondition(lambda self: self._claimed)
    @rule(pick=PICK, share=st.sampled_from([0.0, 0.0, 0.0, 0.5, 1.0]))
    def commit(self, pick: int, share: float) -> None:
        self._commit(self._claim_of(pick), share)

    def _commit(self, held: Claim, share: float) -> None:
        house, failed = self._house(brief=False), round(held.rows * share)
        assert house.commit(held, failed=failed) is self._model.commit(held, failed=failed)
        assert house.notified == ([(IRIS, 1)] if self._model.anything_ready() else [])

    @precondition(lambda self: self._claimed)
    @rule(pick=PICK, times=st.sampled_from([1, 1, 1, 4]))
    def recompute(self, pick: int, times: int) -> None:
        """The result of a recent claim is lost, possibly several times."""
        held = self._claimed[-1 - pick % min(len(self._claimed), 8)]
        for _ in range(times):
            made = self._lasting.worker.recompute(held.job_id, held.index, held.token, "it is lost")
            assert made is self._model.recompute(held.job_id, held.index, held.token)
            if made is Recomputed.READY:
                self._ended.pop(held.job_id, None)
                again = self._claim(brief=False)
                if again is not None:
                    self._commit(again, 0.0)
                    held = again

    @precondition(lambda self: self._claimed)
    @rule(pick=PICK, at_fault=st.booleans())
    def hand_back(self, pick: int, at_fault: bool) -> None:
        house, held = self._house(brief=False), self._claim_of(pick)
        house.worker.hand_back(IRIS, held, at_fault=at_fault)
        self._model.hand_back(held, at_fault=at_fault)
        assert house.notified == ([(IRIS, 1)] if self._model.anything_ready() else [])

    @precondition(lambda self: self._model.jobs)
    @rule()
    def expire_leases(self) -> None:
        expired = self._lasting.worker.expire_leases()
        assert (set(expired.interrupted), set(expired.orphaned)) == self._model.expire_leases()

    @rule(worker=st.sampled_from(WORKERS))
    def die(self, worker: str) -> None:
        self._redis.delete(keys.worker(worker))
        self._model.dead.add(worker)

    @precondition(lambda self: self._model.dead)
    @rule()
    def start_again(self) -> None:
        """As the same worker does after its heartbeat was lost for a while."""
        worker = min(self._model.dead)
        beat(self._redis, worker)
        self._model.dead.remove(worker)

    @precondition(lambda self: self._model.expiring)
    @rule()
    def expire_jobs(self) -> None:
        assert set(self._lasting.worker.expire_jobs()) == self._model.expire_jobs()

    @precondition(lambda self: self._model.expired & self._model.expiring)
    @rule()
    def remove(self) -> None:
        job_id = min(self._model.expired & self._model.expiring)
        self._lasting.worker.removed(job_id)
        self._model.expiring.discard(job_id)

    @precondition(lambda self: self._opened)
    @rule(pick=PICK, how=st.sampled_from(["cancel", "delete", "fail"]))
    def end(self, pick: int, how: str) -> None:
        job_id, gateway = self._job(pick), self._lasting.gateway
        if how == "cancel":
            self._change(job_id, "cancel")
        elif how == "delete":
            assert self._lasting.ask(gateway.delete, job_id) == self._model.delete(job_id)
        else:
            failed = self._lasting.ask(gateway.fail_job, job_id, "internal_error", "")
            assert failed == self._model.fail(job_id, "internal_error")

    @precondition(lambda self: self._opened)
    @rule(pick=PICK)
    def pause(self, pick: int) -> None:
        self._change(self._job(pick), "pause")

    @precondition(lambda self: self._opened)
    @rule(pick=PICK)
    def resume(self, pick: int) -> None:
        self._change(self._job(pick), "resume", key=IRIS)

    @precondition(lambda self: self._opened)
    @rule(pick=PICK, priority=st.integers(0, 9))
    def prioritize(self, pick: int, priority: int) -> None:
        self._change(self._job(pick), "prioritize", priority=priority)

    def _change(self, job_id: str, call: str, **options: Any) -> None:  # Any: the call's own
        try:
            state = self._lasting.ask(getattr(self._lasting.gateway, call), job_id, **options)
        except JobExpiredError:
            assert job_id in self._model.expired
        except JobNotFoundError:
            assert job_id not in self._model.jobs
        else:
            options.pop("key", None)
            assert state is getattr(self._model, call)(job_id, **options)

    @invariant()
    def holds(self) -> None:
        for job_id, (record, chunks) in self._read().items():
            self._is_the_models(record, chunks)
            _accounts_for_each_row_once(record, chunks)
            ended = self._ended.get(job_id, record.state)
            assert record.state is ended
            if record.state.ended:
                self._ended[job_id] = record.state
        self._leases_are_of_what_runs()
        self._indexes_hold_what_they_say()
        self._those_in_line_are_served_alike()

    def _read(self) -> dict[str, tuple[JobRecord, list[ChunkRecord]]]:
        with self._redis.pipeline(transaction=False) as pipe:
            for job_id in self._model.jobs:
                pipe.hgetall(keys.job(job_id))
                pipe.hgetall(keys.job_chunks(job_id))
            found: Any = pipe.execute()
        pairs = zip(self._model.jobs, found[::2], found[1::2], strict=True)
        return {
            job_id: (job_from_hash(job_id, job), chunks_from_hash(chunks)) for job_id, job, chunks in pairs
        }

    def _is_the_models(self, record: JobRecord, chunks: list[ChunkRecord]) -> None:
        job = self._model.jobs[record.id]
        assert (record.state, record.priority) == (job.state, job.priority)
        counts = (record.rows_total, record.rows_succeeded, record.rows_failed)
        assert counts == (job.rows_total, job.rows_succeeded, job.rows_failed)
        assert (record.error.code if record.error else None) == job.error
        waiting = 0 if job.state.ended else job.count(ChunkState.READY)
        assert self._redis.zcard(keys.job_ready(record.id)) == waiting
        assert [(c.state, c.rows, c.attempts, c.token, c.failed) for c in chunks] == [
            (c.state, c.rows, c.attempts, c.token, c.failed) for c in job.chunks
        ]

    def _leases_are_of_what_runs(self) -> None:
        names: Any = self._redis.zrange(keys.leases(), 0, -1)
        parts = [name.decode().split(":") for name in names]
        assert {job_id for job_id, index, _ in parts if index == "upload"} == self._model.uploads()
        held = [(job_id, int(index), token) for job_id, index, token in parts if index != "upload"]
        assert set(held) == self._model.leases()
        assert len({(job_id, index) for job_id, index, _ in held}) == len(held)

    def _indexes_hold_what_they_say(self) -> None:
        def members(name: str) -> set[str]:
            found: Any = self._redis.zrange(name, 0, -1)
            return {member.decode() for member in found}

        line: Any = self._redis.zrange(keys.active(IRIS), 0, -1, withscores=True)
        assert {job_id.decode(): tag for job_id, tag in line} == self._model.line
        assert members(keys.jobs()) == set(self._model.jobs)
        owners: Any = self._redis.zrange(keys.owners(IRIS), 0, -1, withscores=True)
        assert {owner.decode(): tag for owner, tag in owners} == self._model.owners
        for owner in OWNERS:
            own = {job_id for job_id, job in self._model.jobs.items() if job.new.owner == owner}
            assert members(keys.owner_jobs(owner)) == own
            assert members(keys.open_jobs(owner)) == {i for i in own if not self._model.jobs[i].state.ended}
            assert members(keys.owner_active(IRIS, owner)) == own & set(self._model.line)
        assert members(keys.expiring()) == self._model.expiring
        ready = self._model.ready()
        assert self._lasting.worker.ready() == ({IRIS: ready} if ready else {})
        for job_id in self._opened:
            job = self._model.jobs.get(job_id)
            kept = bool(job and job.data)
            assert self._redis.hget(keys.job_inline(job_id), "rows") == (b"rows" if kept else None)
        for name in NAMES[1:]:
            fields: Any = self._redis.hgetall(keys.idempotency(name))
            assert self._model.keys.get(name) == (_reservation(fields) if fields else None)

    def _those_in_line_are_served_alike(self) -> None:
        """Two jobs of an owner, or two owners without a limit, differ, while both wait, by no more than one
        chunk of each, over their weights."""
        met: dict[tuple[str, str], float] = {}
        for pair in self._comparable():
            one, other = (self._service(name) for name in pair)
            lead = one.total - other.total
            met[pair] = self._level.get(pair, lead)
            assert abs(lead - met[pair]) <= one.largest + other.largest + 1e-6
        self._level = met

    def _comparable(self) -> Iterator[tuple[str, str]]:
        jobs = self._model.jobs
        for one, other in combinations(sorted(self._model.line), 2):
            if jobs[one].new.owner == jobs[other].new.owner:
                yield one, other
        free = [o for o in self._model.owners if self._model.share(o).max_running_rows is None]
        yield from combinations(sorted(free), 2)

    def _service(self, name: str) -> Service:
        return self._model.jobs[name].service if name in self._model.jobs else self._model.services[name]

    def teardown(self) -> None:
        """At the end everything ends, and each row of a job that succeeded has ended once."""
        self._redis.delete(keys.access_shares())
        self._model.shares.clear()
        self._level.clear()
        for job_id in list(self._model.jobs):
            self._change(job_id, "resume", key=IRIS)
            self._seal(job_id)
        for held in self._claimed:
            self._commit(held, 0.0)
        while self._model.line:
            self.work(6)
        self.holds()
        for job in self._model.jobs.values():
            assert job.state.ended
            if job.state is JobState.SUCCEEDED:
                assert job.rows_succeeded + job.rows_failed == job.rows_total
        super().teardown()


def _accounts_for_each_row_once(record: JobRecord, chunks: list[ChunkRecord]) -> None:
    by_state = {state: [c for c in chunks if c.state is state] for state in ChunkState}
    ready, leased, done, failed = by_state.values()
    assert record.rows_done + sum(c.rows for c in ready + leased) == record.rows_accepted
    assert record.rows_failed == sum(c.failed for c in done) + sum(c.rows for c in failed)
    assert (record.chunks_leased, record.chunks_ended) == (len(leased), len(done + failed))
    assert record.chunks_total == len(chunks)


def _reservation(fields: dict[bytes, bytes]) -> Reservation:
    return Reservation(job_id=fields[b"job"].decode(), digest=fields.get(b"digest", b"").decode())


def test_the_ledger_does_what_its_model_does(clients: Clients) -> None:
    class Machine(LedgerMachine):
        def __init__(self) -> None:
            super().__init__(clients)

    # fakeredis compiles each script anew: it is slower than a server
    examples = 20 if isinstance(clients.threads, FakeRedis) else 30
    checks = list(HealthCheck)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=STEPS, deadline=None, suppress_health_check=checks
        ),
    )
