"""Transitions of jobs: upload, the owner's commands, retention, Idempotency-Keys, webhooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from shared.errors import JobExpired, JobNotFound, QueueUnavailable, TooManyJobs
from shared.ledger.lua import Transition
from shared.ledger.records import (
    INLINE_SCHEMA,
    Inline,
    JobRecord,
    JobState,
    NewJob,
    Reservation,
    Submitted,
    WebhookClaim,
)
from shared.ledger.serialization import inline_from_hash, job_fields, job_from_hash, line_of, submitted

TOO_MANY_JOBS_RETRY_S = 5.0
"""When a client whose owner has as many jobs as it may is told to try again: nobody knows when one ends."""


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
