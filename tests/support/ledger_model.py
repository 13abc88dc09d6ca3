"""Model of the ledger in plain Python: the contract of each transition, without Redis or a clock.

A lease is `brief` (it expires at the next `expire`), or it lasts until its worker is dead. The model covers
one model version; the caller provides ids and tokens.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from shared.api_keys import DEFAULT_SHARE, Share
from shared.ledger import ChunkState, Claim, CommitOutcome, JobState, NewJob, Recomputed, Reservation

MOST_RECOMPUTED = 3
"""Times that a chunk is computed again."""
CLAIMABLE = {JobState.UPLOADING, JobState.QUEUED, JobState.RUNNING}


@dataclass
class Chunk:
    rows: int
    state: ChunkState = ChunkState.READY
    attempts: int = 0
    token: str = ""  # while it is leased, and once it is done
    failed: int = 0
    brief: bool = False
    worker: str = ""  # holder of the lease
    recomputed: int = 0


@dataclass
class Service:
    """Service received by a job or an owner: rows divided by weight."""

    total: float = 0.0  # ever
    largest: float = 0.0  # the maximum for a single chunk

    def add(self, cost: float) -> None:
        self.total += cost
        self.largest = max(self.largest, cost)


@dataclass
class Job:
    new: NewJob
    brief: bool  # its upload's lease
    priority: int
    state: JobState = JobState.UPLOADING
    chunks: list[Chunk] = field(default_factory=list)
    rows_total: int | None = None
    started: bool = False
    error: str | None = None
    tag: float = 0.0
    service: Service = field(default_factory=Service)
    data: bytes = b""  # of its rows, if they are stored in the ledger

    def count(self, state: ChunkState) -> int:
        return sum(chunk.state is state for chunk in self.chunks)

    @property
    def rows_failed(self) -> int:
        return sum(chunk.failed for chunk in self.chunks)

    @property
    def rows_succeeded(self) -> int:
        return sum(chunk.rows - chunk.failed for chunk in self.chunks if chunk.state is ChunkState.DONE)

    @property
    def next_chunk(self) -> Chunk:
        return next(chunk for chunk in self.chunks if chunk.state is ChunkState.READY)

    @property
    def claimable(self) -> bool:
        return self.state in CLAIMABLE and self.count(ChunkState.READY) > 0

    @property
    def over_budget(self) -> bool:
        most, share = self.new.max_errors, self.new.max_error_share
        if most is not None and self.rows_failed > most:
            return True
        return (
            share is not None and self.rows_total is not None and self.rows_failed > share * self.rows_total
        )


Lease = tuple[str, int, str]


class LedgerModel:
    """Methods return the expected results of the ledger's methods."""

    def __init__(self, max_attempts: int) -> None:
        self._max_attempts = max_attempts
        self._clock = 0.0  # of all jobs: the tag of the last claim
        self._job_clocks: dict[str, float] = {}  # of each owner's jobs
        self._owner_clock = 0.0
        self._last_cost = 0.0  # of the last claimed chunk
        self._owner_tags: dict[str, float] = {}
        self.jobs: dict[str, Job] = {}
        self.line: dict[str, float] = {}  # jobs that may be claimed from, by tag
        self.owners: dict[str, float] = {}  # of these jobs, by tag
        self.services: dict[str, Service] = defaultdict(Service)  # of each owner
        self.shares: dict[str, Share] = {}
        self._running: dict[str, dict[Lease, int]] = defaultdict(dict)  # rows, of owners with a limit
        self.keys: dict[str, Reservation] = {}
        self.dead: set[str] = set()  # workers without a heartbeat
        self.expired: set[str] = set()
        self.expiring: set[str] = set()  # ended, or expired and not yet removed
        self._orphans: dict[Lease, bool] = {}  # leases of forgotten jobs; whether they are brief

    def leases(self) -> set[Lease]:
        held = {
            (job_id, index, chunk.token)
            for job_id, job in self.jobs.items()
            for index, chunk in enumerate(job.chunks)
            if chunk.state is ChunkState.LEASED
        }
        return held | set(self._orphans)

    def uploads(self) -> set[str]:
        return {job_id for job_id, job in self.jobs.items() if job.state is JobState.UPLOADING}

    def held(self, held: Claim) -> Chunk | None:
        """The chunk, if this claim is current."""
        job = self.jobs.get(held.job_id)
        chunk = job.chunks[held.index] if job else None
        return chunk if chunk and chunk.state is ChunkState.LEASED and chunk.token == held.token else None

    def ready(self) -> int:
        """Ready chunks of the owners that may start a chunk."""
        return sum(
            self.jobs[job_id].count(ChunkState.READY)
            for job_id in self.line
            if self._next_of_owner(self.jobs[job_id].new.owner)
        )

    def anything_ready(self) -> bool:
        return self._next_job() is not None

    # The gateway

    def has_max_jobs(self, owner: str) -> bool:
        """Whether the owner has reached its limit of jobs that have not ended."""
        most = self.share(owner).max_jobs
        unended = [job for job in self.jobs.values() if job.new.owner == owner and not job.state.ended]
        return most is not None and len(unended) >= most

    def open(self, new: NewJob, *, brief: bool) -> None:
        self.jobs[new.id] = Job(new, brief, new.priority)

    def submit(self, new: NewJob, rows: int, data: bytes, *, digest: str) -> Reservation | None:
        """Returns the key's existing reservation, if any."""
        if new.idempotency in self.keys:
            return self.keys[new.idempotency]
        if new.idempotency:
            self.keys[new.idempotency] = Reservation(job_id=new.id, digest=digest)
        self.open(new, brief=False)
        self.jobs[new.id].data = data
        self.append(new.id, [rows], brief=False)
        self.seal(new.id)
        return None

    def append(self, job_id: str, rows: Sequence[int], *, brief: bool) -> int | None:
        job = self.jobs.get(job_id)
        if job is None or job.state is not JobState.UPLOADING:
            return None
        first = len(job.chunks)
        job.chunks += [Chunk(count) for count in rows]
        job.brief = brief
        self._queue(job)
        return first

    def seal(self, job_id: str) -> JobState | None:
        job = self.jobs.get(job_id)
        if job is None or job.state is not JobState.UPLOADING:
            return None
        job.rows_total = sum(chunk.rows for chunk in job.chunks)
        job.state = JobState.RUNNING if job.started else JobState.QUEUED
        self._end_if_due(job)
        return job.state

    def fail(self, job_id: str, code: str) -> bool:
        job = self.jobs.get(job_id)
        if job is None or job.state is not JobState.UPLOADING:
            return False
        self._fail(job, code)
        return True

    def reserve(self, name: str, job_id: str, *, brief: bool) -> Reservation | None:
        held = self.keys.get(name)
        if held is None and not brief:
            self.keys[name] = Reservation(job_id=job_id, digest="")
        return held if held and held.job_id != job_id else None

    def bind(self, name: str, job_id: str, digest: str) -> bool:
        held = self.keys.get(name)
        if held is None or held.job_id != job_id:
            return False
        self.keys[name] = Reservation(job_id=job_id, digest=digest)
        return True

    # The owner

    def cancel(self, job_id: str) -> JobState:
        job = self.jobs[job_id]
        if not job.state.ended:
            if job.state is JobState.UPLOADING:
                self._free_key(job)
            job.state = JobState.CANCELING
            self._queue(job)
            self._end_if_due(job)
        return job.state

    def pause(self, job_id: str) -> JobState:
        job = self.jobs[job_id]
        if job.state in (JobState.QUEUED, JobState.RUNNING):
            job.state = JobState.PAUSED
            self._queue(job)
        return job.state

    def resume(self, job_id: str) -> JobState:
        job = self.jobs[job_id]
        if job.state is JobState.PAUSED:
            job.state = JobState.RUNNING if job.started else JobState.QUEUED
            self._queue(job)
        return job.state

    def prioritize(self, job_id: str, priority: int) -> JobState:
        job = self.jobs[job_id]
        if not job.state.ended:
            job.priority = priority
        return job.state

    def delete(self, job_id: str) -> bool:
        job = self.jobs.get(job_id)
        if job is None or not job.state.ended:
            return False
        self._forget(job)
        return True

    # A worker

    def claim(self, token: str, *, worker: str, brief: bool) -> Claim | None:
        while job := self._next_job():
            job_id = job.new.id
            index = next(i for i, chunk in enumerate(job.chunks) if chunk.state is ChunkState.READY)
            chunk = job.chunks[index]
            self._charge(job, chunk.rows)
            if chunk.attempts < self._max_attempts:
                chunk.state, chunk.token, chunk.brief = ChunkState.LEASED, token, brief
                chunk.worker = worker
                chunk.attempts += 1
                if self.share(job.new.owner).max_running_rows is not None:
                    self._running[job.new.owner][job_id, index, token] = chunk.rows
                job.started = True
                if job.state is JobState.QUEUED:
                    job.state = JobState.RUNNING
                self._queue(job)
                return Claim(
                    job_id=job_id,
                    index=index,
                    rows=chunk.rows,
                    attempt=chunk.attempts,
                    token=token,
                    data=job.data,
                )
            chunk.state, chunk.failed = ChunkState.FAILED, chunk.rows
            self._queue(job)
            self._end_if_due(job)
        return None

    def claim_some(self, token: str, *, worker: str, brief: bool, most: int, most_rows: int) -> list[Claim]:
        """Consecutive claims, as long as all chunks are small."""
        claims: list[Claim] = []
        while not claims or (
            len(claims) < most and claims[-1].small and self._joins(most_rows - sum(c.rows for c in claims))
        ):
            held = self.claim(f"{token}-{len(claims)}" if claims else token, worker=worker, brief=brief)
            if held is None:
                break
            claims.append(held)
        return claims

    def _joins(self, room: int) -> bool:
        """Whether the next chunk is small and its rows fit."""
        job = self._next_job()
        if job is None:
            return False
        chunk = job.next_chunk
        return bool(job.data) and not chunk.attempts and chunk.rows <= room

    def _next_job(self) -> Job | None:
        """The least-served owner's least-served job, of the owners that may start its next chunk."""
        for owner in sorted(self.owners, key=lambda one: (self.owners[one], one)):
            if job := self._next_of_owner(owner):
                return job
        return None

    def _next_of_owner(self, owner: str) -> Job | None:
        own = [job_id for job_id in self.line if self.jobs[job_id].new.owner == owner]
        job = self.jobs[min(own, key=lambda one: (self.line[one], one))]
        most, running = self.share(owner).max_running_rows, self.running_rows(owner)
        return job if most is None or not running or running + job.next_chunk.rows <= most else None

    def share(self, owner: str) -> Share:
        return self.shares.get(owner, DEFAULT_SHARE)

    def running_rows(self, owner: str) -> int:
        leases = self.leases()
        return sum(rows for lease, rows in self._running[owner].items() if lease in leases)

    def renew(self, held: Claim, *, brief: bool) -> bool:
        chunk = self.held(held)
        if chunk is None or self.jobs[held.job_id].state not in CLAIMABLE:
            return False
        chunk.brief = brief
        return True

    def commit(self, held: Claim, *, failed: int) -> CommitOutcome:
        job = self.jobs.get(held.job_id)
        if job and job.chunks[held.index].token == held.token:
            if job.chunks[held.index].state is ChunkState.DONE:
                return CommitOutcome.REPEATED
            if not job.state.ended:
                job.chunks[held.index].state = ChunkState.DONE
                job.chunks[held.index].failed = failed
                self._end_if_due(job)
                return CommitOutcome.COMMITTED
            self._release(job, job.chunks[held.index])
        return CommitOutcome.LOST

    def hand_back(self, held: Claim, *, at_fault: bool) -> None:
        chunk = self.held(held)
        if chunk is not None:
            chunk.attempts -= not at_fault
            self._release(self.jobs[held.job_id], chunk)

    def recompute(self, job_id: str, index: int, token: str) -> Recomputed:
        job = self.jobs.get(job_id)
        chunk = job.chunks[index] if job else None
        if job is None or chunk is None or chunk.state is not ChunkState.DONE or chunk.token != token:
            return Recomputed.STALE
        chunk.token = ""
        if job.state not in {*CLAIMABLE, JobState.PAUSED, JobState.SUCCEEDED} or (
            chunk.recomputed == MOST_RECOMPUTED
        ):
            chunk.state, chunk.failed = ChunkState.FAILED, chunk.rows
            self._end_if_due(job)
            return Recomputed.FAILED
        chunk.state, chunk.failed, chunk.attempts = ChunkState.READY, 0, 0
        chunk.recomputed += 1
        if job.state is JobState.SUCCEEDED:
            job.state = JobState.RUNNING
            self.expiring.discard(job_id)
        self._queue(job)
        return Recomputed.READY

    # The reconciler

    def expire_leases(self) -> tuple[set[str], set[str]]:
        """Returns jobs with an aborted upload, and forgotten jobs with an expired lease of a chunk."""
        orphaned = {job_id for (job_id, _, _), brief in self._orphans.items() if brief}
        self._orphans = {lease: brief for lease, brief in self._orphans.items() if not brief}
        interrupted = {job_id for job_id in self.uploads() if self.jobs[job_id].brief}
        for job_id in interrupted:
            self._fail(self.jobs[job_id], "upload_interrupted")
        for job, chunk in list(self._lost_chunks()):
            self._release(job, chunk)
        return interrupted, orphaned

    def expire_jobs(self) -> set[str]:
        expired = [job for job in self.jobs.values() if job.state.ended and not job.new.retention_ms]
        for job in expired:
            self._forget(job)
            self.expired.add(job.new.id)
            self.expiring.add(job.new.id)
        return {job.new.id for job in expired}

    # What they share

    def _lost_chunks(self) -> Iterator[tuple[Job, Chunk]]:
        for job in self.jobs.values():
            for chunk in job.chunks:
                if chunk.state is ChunkState.LEASED and (chunk.brief or chunk.worker in self.dead):
                    yield job, chunk

    def _queue(self, job: Job) -> None:
        if job.claimable:
            self._enter(job, job.new.owner)
        else:
            self.line.pop(job.new.id, None)
            if all(self.jobs[job_id].new.owner != job.new.owner for job_id in self.line):
                self.owners.pop(job.new.owner, None)

    def _enter(self, job: Job, owner: str) -> None:
        if job.new.id not in self.line:
            self.line[job.new.id] = max(self._job_clocks.setdefault(owner, self._clock), job.tag)
        earliest = self._owner_clock - self._last_cost
        self.owners.setdefault(owner, max(earliest, self._owner_tags.get(owner, 0.0)))

    def _charge(self, job: Job, rows: int) -> None:
        owner, cost = job.new.owner, rows / (job.priority + 1)
        self._clock = self._job_clocks[owner] = self.line[job.new.id]
        self.line[job.new.id] = job.tag = self._clock + cost
        job.service.add(cost)
        start = max(self.owners[owner], self._owner_clock - self._last_cost)
        self._owner_clock = max(self._owner_clock, start)
        owner_cost = self._last_cost = rows / self.share(owner).weight
        self.owners[owner] = self._owner_tags[owner] = start + owner_cost
        self.services[owner].add(owner_cost)

    def _release(self, job: Job, chunk: Chunk) -> None:
        chunk.state, chunk.token = ChunkState.READY, ""
        self._queue(job)
        self._end_if_due(job)

    def _end_if_due(self, job: Job) -> None:
        ended = job.count(ChunkState.DONE) + job.count(ChunkState.FAILED)
        if job.state.ended:
            return
        if job.state is JobState.CANCELING:
            if not job.count(ChunkState.LEASED):
                self._end(job, JobState.CANCELED)
        elif job.over_budget:
            self._fail(job, "too_many_errors")
        elif job.rows_total is not None and ended == len(job.chunks):
            self._end(job, JobState.SUCCEEDED)

    def _fail(self, job: Job, code: str) -> None:
        if job.state is JobState.UPLOADING:
            self._free_key(job)
        job.error = code
        self._end(job, JobState.FAILED)

    def _end(self, job: Job, state: JobState) -> None:
        job.state = state
        self.expiring.add(job.new.id)
        self._queue(job)

    def _free_key(self, job: Job) -> None:
        held = self.keys.get(job.new.idempotency)
        if held and held.job_id == job.new.id:
            del self.keys[job.new.idempotency]

    def _forget(self, job: Job) -> None:
        self._free_key(job)
        for index, chunk in enumerate(job.chunks):
            if chunk.state is ChunkState.LEASED:
                self._orphans[job.new.id, index, chunk.token] = chunk.brief
        self.expiring.discard(job.new.id)
        del self.jobs[job.new.id]
