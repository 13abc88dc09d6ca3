"""Jobs in virtual time: the real ledger selects the next chunk, and two threads a worker process chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import redis

from bench.simulation.clock import VirtualClock
from bench.simulation.costs import Costs
from bench.simulation.lane import KEY
from bench.simulation.worker import ChunkInHand, SimulatedWorker
from shared.keys import split_model_key
from shared.ledger import Claim, CommitOutcome, Ledger, NewJob, new_job_id
from shared.ledger.job_transitions import append_chunks, open_job, seal
from shared.ledger.lua_scripts import Transition, source
from shared.ledger.records import new_token
from shared.tabular.chunking import chunk_rows

T = TypeVar("T")

THREADS = 2
"""Chunk threads of each worker: see `worker.process.CHUNK_THREADS`."""
_HOUR_MS = 3_600_000


@dataclass
class SimulatedJob:
    """A job and its end time."""

    rows: int
    begun_s: float
    rows_done: int = 0
    ended_s: float | None = None

    @property
    def took_s(self) -> float | None:
        return None if self.ended_s is None else self.ended_s - self.begun_s


class SimulatedJobs:
    """`client`: an empty Redis for the ledger's scripts. Its clock has no effect, as no lease expires."""

    def __init__(
        self, clock: VirtualClock, costs: Costs, workers: Sequence[SimulatedWorker], client: redis.Redis
    ) -> None:
        self._clock = clock
        self._costs = costs
        self._workers = workers
        self._client = client
        self._ledger = Ledger(
            client, lambda _key, _count: None, worker="simulated:1", lease_s=_HOUR_MS / 1000, max_attempts=3
        )
        self._idle = [worker for worker in workers for _ in range(THREADS)]
        self.jobs: dict[str, SimulatedJob] = {}

    def submit(self, rows: int, priority: int = 5) -> SimulatedJob:
        """Add a job with all its rows, split into chunks by the gateway's rule."""
        model, version = split_model_key(KEY)
        new = NewJob(
            id=new_job_id(), model=model, version=version, digest="", owner="simulated", priority=priority
        )
        rate = sum(worker.offline.rows_per_s for worker in self._workers) / len(self._workers)
        most = chunk_rows(rate, least=self._costs.max_rows, most=rows)
        chunks = [min(most, rows - first) for first in range(0, rows, most)]
        self._run(open_job(new, token=new_token(), lease_ms=_HOUR_MS))
        self._run(append_chunks(new.id, chunks, first=0, lease_ms=_HOUR_MS))
        self._run(seal(new.id, len(chunks)))
        job = self.jobs[new.id] = SimulatedJob(rows, self._clock.now_s)
        idle, self._idle = self._idle, []
        for worker in idle:
            self._claim(worker)
        return job

    def _claim(self, worker: SimulatedWorker) -> None:
        held = self._ledger.claim(KEY)
        if held is None:
            self._idle.append(worker)
            return

        def ended() -> None:
            self._clock.after(self._costs.chunk_s / 2, lambda: self._store(worker, held))

        work = ChunkInHand(held.rows, ended)
        self._clock.after(self._costs.chunk_s / 2, lambda: worker.submit(work))

    def _store(self, worker: SimulatedWorker, held: Claim) -> None:
        outcome = self._ledger.commit(KEY, held, rows_succeeded=held.rows, rows_failed=0)
        assert outcome is CommitOutcome.COMMITTED
        job = self.jobs[held.job_id]
        job.rows_done += held.rows
        if job.rows_done == job.rows:
            job.ended_s = self._clock.now_s
        self._claim(worker)

    def _run(self, transition: Transition[T]) -> T:
        script = self._client.register_script(source(transition.script))
        return transition.decode(script(args=transition.arguments))
