"""Each transition of the ledger as a pure value: a script, its arguments, and what its answer means.

Two small executors run them (`executors.py`), one for asyncio and one for threads: there is one ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from shared import keys
from shared.dead_letters import LUA
from shared.errors import JobExpired, JobNotFound, QueueUnavailable, TooManyJobs
from shared.keys import ModelKey
from shared.ledger.records import (
    INLINE_SCHEMA,
    Claim,
    CommitOutcome,
    Ended,
    Inline,
    JobRecord,
    JobState,
    NewJob,
    QueueOrder,
    Recomputed,
    Reservation,
    Submitted,
    WebhookClaim,
    computed_by_name,
    inline_from_hash,
    job_fields,
    job_from_hash,
    line_of,
    seal_of,
    submitted,
)

T = TypeVar("T")

_SCRIPTS = Path(__file__).parent / "scripts"
_SHARED = ("keys", "shares", "order", "standings", "turns", "uploads", "unreadable", "adoption")
TOO_MANY_JOBS_RETRY_S = 5.0
"""When a client whose owner has as many jobs as it may is told to try again: nobody knows when one ends."""
_ANY = keys.ModelKey("{}")
_NAMES = msgspec.json.encode(
    {
        "job": keys.job("{}"),
        "chunks": keys.job_chunks("{}"),
        "ready": keys.job_ready("{}"),
        "active": keys.active(_ANY),
        "owners": keys.owners(_ANY),
        "owner_active": keys.owner_active(_ANY, "{}"),
        "placed": keys.placed(_ANY),
        "fair_times": keys.fair_times(_ANY),
        "running": keys.running("{}"),
        "open_jobs": keys.open_jobs("{}"),
        "access_shares": keys.access_shares(),
        "clocks": keys.clocks(),
        "leases": keys.leases(),
        "jobs": keys.jobs(),
        "events": keys.job_events("{}"),
        "inline": keys.job_inline("{}"),
        "owner_jobs": keys.owner_jobs("{}"),
        "expiring": keys.expiring(),
        "idempotency": keys.idempotency("{}"),
        "webhook": keys.job_webhook("{}"),
        "webhooks": keys.webhooks(),
        "worker": keys.worker("{}"),
        "dead_letters": keys.dead_letters(),
        "dead_letter": keys.dead_letter_mark("{}"),
    }
)


@dataclass(frozen=True)
class Transition(Generic[T]):
    """One script call. `decode` takes the raw answer (Any: Redis' own types)."""

    script: str
    args: tuple[str | int | bytes, ...]
    decode: Callable[[Any], T]

    @property
    def arguments(self) -> list[bytes | str | int]:
        return [_NAMES, *self.args]


@cache
def source(script: str) -> str:
    """The text of a script, after what all of them share."""
    own = ((_SCRIPTS / f"{name}.lua").read_text(encoding="utf-8") for name in (*_SHARED, script))
    return "\n".join((LUA, *own))


@dataclass(frozen=True)
class Committed:
    outcomes: list[CommitOutcome]
    more: bool  # whether anything of the model version is ready


@dataclass(frozen=True)
class Expired:
    """Jobs whose stored rows and results are nobody's any more."""

    interrupted: list[str]  # their upload broke off
    orphaned: list[str]  # they were removed while a worker held a chunk, which may have stored a result since


@dataclass(frozen=True)
class Resumed:
    state: JobState
    ready: int  # chunks that may be claimed now


def open_job(job: NewJob, *, token: str, lease_ms: int) -> Transition[int]:
    """A job that is `uploading`, held by its gateway's lease. → ms of its creation. Raises TooManyJobs."""
    return Transition("open", (job.id, job.owner, token, lease_ms, *job_fields(job)), _created(job.id))


def submit(
    job: NewJob, rows: int, data: bytes, *, rows_sha256: str, digest: str, keep_ms: int, short: int
) -> Transition[Submitted | Reservation]:
    """A whole job of one chunk, whose rows lie in the ledger. → whose its Idempotency-Key is, if another's.

    `rows_sha256`: of `data`. `digest`: of the body, kept for so long under that key. `short`: the most jobs
    of a line that comes back.
    Raises TooManyJobs.
    """

    def made(answer: Any) -> Submitted | Reservation:
        at_ms = _created(job.id)(answer and answer[0])
        if not at_ms:
            return Reservation(job_id=answer[1].decode(), digest=answer[2].decode())
        line = line_of(answer) if len(answer) > 1 else None
        return Submitted(record=submitted(job, rows, at_ms), line=line)

    limits = (short, job.idempotency, digest, keep_ms, rows_sha256)
    fields = job_fields(job, schema=INLINE_SCHEMA)
    return Transition("submit", (job.id, job.owner, job.key, rows, data, *limits, *fields), made)


def _created(job_id: str) -> Callable[[Any], int]:
    def created(answer: Any) -> int:
        if answer is None:
            raise ValueError(f"job id {job_id} is taken")
        if int(answer) < 0:
            raise TooManyJobs(
                f"You may have {-int(answer)} jobs that have not ended.", retry_after_s=TOO_MANY_JOBS_RETRY_S
            )
        return int(answer)

    return created


def append_chunks(
    job_id: str, rows: Sequence[int], *, sha256s: Sequence[str] = (), first: int | None, lease_ms: int
) -> Transition[int]:
    """Chunks whose rows are stored, with the digests of these rows. → index of the first.

    Raises JobNotFound where the job takes no more, QueueUnavailable where that index is not `first`.
    """

    def appended(answer: Any) -> int:
        _require_appended(job_id, answer)
        return int(answer)

    wanted = "" if first is None else first
    return Transition("append", (job_id, lease_ms, wanted, *_stored(rows, sha256s)), appended)


def _stored(rows: Sequence[int], sha256s: Sequence[str]) -> Iterator[str | int]:
    """Of each chunk its rows and their digest; none were taken where there are no `sha256s`."""
    return chain.from_iterable(zip(rows, sha256s or [""] * len(rows), strict=True))


def fill(
    job_id: str, rows: Sequence[int], *, sha256s: Sequence[str] = (), first: int, lease_ms: int
) -> Transition[JobRecord]:
    """The last chunks, whose rows are stored, and with them the total. → the job, sealed.

    Raises JobNotFound where the job takes no more, QueueUnavailable where their index is not `first`.
    """

    def filled(answer: Any) -> JobRecord:
        _require_appended(job_id, answer)
        return job_from_hash(job_id, _hash(answer))

    return Transition("fill", (job_id, lease_ms, first, *_stored(rows, sha256s)), filled)


def _require_appended(job_id: str, answer: Any) -> None:
    if answer is None:
        raise JobNotFound(f"Job {job_id!r} takes no more rows.")
    if answer == -1:
        raise _torn()


def seal(job_id: str, chunks: int | None) -> Transition[JobState]:
    """The upload is whole.

    Raises JobNotFound where it was not going on, QueueUnavailable where it has not so many chunks.
    """

    def state(answer: Any) -> JobState:
        if answer is None:
            raise JobNotFound(f"Job {job_id!r} is not uploading.")
        if answer == b"torn":
            raise _torn()
        return JobState(answer.decode())

    return Transition("seal", (job_id, "" if chunks is None else chunks), state)


def _torn() -> QueueUnavailable:
    """The server went back in time: it was restarted, or replaced by a replica, without its last writes."""
    return QueueUnavailable("The queue has lost a part of this job: hand it over again.", retry_after_s=2.0)


def read(job_id: str, *, chunks: bool) -> Transition[tuple[dict[Any, Any], dict[Any, Any], Inline]]:
    """The raw hashes of a job and its chunks, and what of it lies in the ledger: the latter two where
    `chunks`, or where the job has succeeded."""

    def hashes(answer: Any) -> tuple[dict[Any, Any], dict[Any, Any], Inline]:
        return _hash(answer[0]), _hash(answer[1]), inline_from_hash(_hash(answer[2]))

    return Transition("read", (job_id, int(chunks)), hashes)


def _hash(flat: Sequence[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def fence(job_id: str) -> Transition[bool]:
    """A write behind all that was written of a job. → whether the server knows the job."""
    return Transition("fence", (job_id,), bool)


def fail_job(job_id: str, code: str, detail: str) -> Transition[bool]:
    """The upload broke off. → whether this ended the job; one that is sealed or has ended stays as it is."""
    return Transition("fail_job", (job_id, code, detail), bool)


def line(key: ModelKey, *, most: int) -> Transition[QueueOrder]:
    """The jobs that take part in the fair order of a model version, at most so many."""
    return Transition("line", (key, most), line_of)


def claim(
    key: ModelKey,
    *,
    worker: str,
    token: str,
    lease_ms: int,
    max_attempts: int,
    digest: str,
    most: int,
    most_rows: int,
    spec_digest: str = "",
) -> Transition[list[Claim]]:
    """The next chunk of a model version, fairly, of jobs that were submitted for the artifact and the spec of
    these digests (empty: for any), and those after it while all are small: at most so many, of so many rows.
    """

    def claimed(answer: Any) -> list[Claim]:
        return [
            Claim(
                job_id=job_id.decode(),
                index=index,
                rows=rows,
                attempt=attempt,
                token=token.decode(),
                traceparent=traceparent.decode(),
                data=data,
                rows_sha256=sha256.decode(),
            )
            for job_id, index, rows, attempt, token, traceparent, data, sha256 in answer
        ]

    limits = (lease_ms, max_attempts, digest, most, most_rows, spec_digest)
    return Transition("claim", (key, worker, token, *limits), claimed)


def renew(held: Claim, *, lease_ms: int) -> Transition[bool]:
    """→ whether the lease is still held."""
    return Transition("renew", (held.job_id, held.index, held.token, lease_ms), bool)


def commit(key: ModelKey, ended: Sequence[Ended]) -> Transition[Committed]:
    """Count results, each once and for itself."""

    def committed(answer: Any) -> Committed:
        return Committed([CommitOutcome(outcome.decode()) for outcome in answer[0]], bool(answer[1]))

    each = (argument for one in ended for argument in _commit_arguments(one))
    return Transition("commit", (key, *each), committed)


def _commit_arguments(ended: Ended) -> tuple[str | int | bytes, ...]:
    held, said = ended.held, msgspec.json.encode(list(ended.first_errors))
    chunk = (held.job_id, held.index, held.token)
    result = (ended.result, ended.result_sha256, computed_by_name(ended.computed_by), ended.computed_by)
    seal = seal_of(held, ended) if ended.result_sha256 else ""
    return (*chunk, ended.rows_succeeded, ended.rows_failed, said, *result, seal)


def hand_back(
    key: ModelKey, held: Claim, *, at_fault: bool, reason: str = "", delay_ms: int = 0
) -> Transition[bool]:
    """Give a chunk up; it is ready at once, or after the delay.

    → whether anything of the model version is ready. `reason`: for its rows, if this was the last attempt.
    """
    arguments = (held.job_id, held.index, held.token, int(at_fault), key, reason, delay_ms)
    return Transition("hand_back", arguments, bool)


def requeue_chunk(job_id: str, index: int) -> Transition[bool]:
    """Have a chunk that was given up tried once more. → False where it was not, or its job has ended.

    Nobody is rung: the reconciler does so.
    """
    return Transition("requeue_chunk", (job_id, index), bool)


def recompute(job_id: str, index: int, token: str, reason: str) -> Transition[Recomputed]:
    """Compute a chunk again, because its stored result with this token is lost or damaged.

    A job that has succeeded runs again. If the job has ended in another way, or if the result was lost
    several times, the chunk fails with the reason. Nobody is rung: the reconciler does so.
    """
    return Transition("recompute", (job_id, index, token, reason), lambda answer: Recomputed(answer.decode()))


def expire(*, grace_ms: int, most: int = 1000) -> Transition[Expired]:
    """Bring back what expired leases held; those of a worker without a heartbeat expire after the grace."""

    def expired(answer: Any) -> Expired:
        interrupted, orphaned = ([job_id.decode() for job_id in ids] for ids in answer)
        return Expired(interrupted, orphaned)

    return Transition("expire", (most, grace_ms), expired)


def cancel(job_id: str) -> Transition[JobState]:
    """Start no chunk any more. Raises JobNotFound."""
    return Transition("cancel", (job_id,), _state_of(job_id))


def pause(job_id: str) -> Transition[JobState]:
    """Start no chunk until `resume`; a job that is neither queued nor running stays as it is."""
    return Transition("pause", (job_id,), _state_of(job_id))


def resume(job_id: str) -> Transition[Resumed]:
    """Go on; a job that is not paused stays as it is."""

    def resumed(answer: Any) -> Resumed:
        return Resumed(_state_of(job_id)(answer[0] if answer else None), int(answer[1]) if answer else 0)

    return Transition("resume", (job_id,), resumed)


def prioritize(job_id: str, priority: int) -> Transition[JobState]:
    """Another weight, 0–9, from the next claim on."""
    return Transition("prioritize", (job_id, priority), _state_of(job_id))


def delete(job_id: str) -> Transition[bool]:
    """Forget a job that has ended. → whether it had."""
    return Transition("delete", (job_id,), bool)


def retire(
    *, most: int = 100, tombstone_ms: int = 30 * 86_400_000, again_ms: int = 60_000
) -> Transition[list[str]]:
    """Leave a tombstone for each job whose retention is over. → those jobs; their data may go.

    They come again every `again_ms` until `removed` says that it has gone.
    """
    arguments = (most, tombstone_ms, again_ms)
    return Transition("retire", arguments, lambda answer: [job_id.decode() for job_id in answer])


def removed(job_id: str) -> Transition[bool]:
    """The data of a retired job is gone. → whether that was news."""
    return Transition("removed", (job_id,), bool)


def reserve(name: str, job_id: str, *, lease_ms: int) -> Transition[Reservation | None]:
    """Lease an idempotency key to a job. → None: it is this job's; else whose it is."""

    def reserved(answer: Any) -> Reservation | None:
        return Reservation(job_id=answer[0].decode(), digest=answer[1].decode()) if answer else None

    return Transition("reserve", (name, job_id, lease_ms), reserved)


def unreserve(name: str, job_id: str) -> Transition[bool]:
    """Free an idempotency key whose job never came to be. → whether it was this job's"""
    return Transition("unreserve", (name, job_id), bool)


def bind(name: str, job_id: str, digest: str, *, keep_ms: int) -> Transition[bool]:
    """Let an idempotency key stand for a whole body. → whether it was still this job's."""
    return Transition("bind", (name, job_id, digest, keep_ms), bool)


def claim_webhook(*, lease_ms: int) -> Transition[WebhookClaim | None]:
    """The webhook that is due longest, under a lease; None where none is."""

    def claimed(answer: Any) -> WebhookClaim | None:
        if answer is None:
            return None
        job_id, due_ms, now_ms, attempts = answer
        return WebhookClaim(job_id=job_id.decode(), due_ms=due_ms, now_ms=now_ms, attempts=attempts)

    return Transition("claim_webhook", (lease_ms,), claimed)


def record_webhook(
    held: WebhookClaim, *, status: int | None, error: str, delay_ms: int | None
) -> Transition[bool]:
    """Note an attempt; the next is due after the delay, or there is none. → whether the lease was held."""
    blank_or = ["" if value is None else value for value in (status, error, delay_ms)]
    return Transition("record_webhook", (held.job_id, held.due_ms, *blank_or), bool)


def _state_of(job_id: str) -> Callable[[Any], JobState]:
    def state(answer: Any) -> JobState:
        if answer is None:
            raise JobNotFound(f"There is no job {job_id!r}.")
        if answer == b"expired":
            raise JobExpired(f"Job {job_id!r} was here; its retention is over.")
        return JobState(answer.decode())

    return state


def ready(*, most: int) -> Transition[dict[ModelKey, int]]:
    """Ready chunks by model version, where there are any; counted until there are at least `most`."""

    def counts(answer: Any) -> dict[ModelKey, int]:
        pairs = zip(answer[::2], answer[1::2], strict=True)
        return {ModelKey(key.decode()): count for key, count in pairs if count}

    return Transition("ready", (most,), counts)
