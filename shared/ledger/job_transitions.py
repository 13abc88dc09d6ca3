"""Transitions of jobs: upload, the owner's commands, retention, Idempotency-Keys, webhooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from shared.errors import JobExpiredError, JobNotFoundError, QueueUnavailableError, TooManyJobsError
from shared.ledger.lua_scripts import Transition
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
"""Retry delay for an owner with the maximum of unfinished jobs; the end of a job cannot be predicted."""


@dataclass(frozen=True)
class Resumed:
    state: JobState
    ready: int  # chunks that can be claimed now


def open_job(job: NewJob, *, token: str, lease_ms: int) -> Transition[int]:
    """Record a job as `uploading`, under the gateway's lease. → ms of its creation. Raises
    TooManyJobsError."""
    return Transition("open", (job.id, job.owner, token, lease_ms, *job_fields(job)), _created(job.id))


def submit(
    job: NewJob, rows: int, data: bytes, *, rows_digest: str, digest: str, keep_ms: int, short: int
) -> Transition[Submitted | Reservation]:
    """Record a complete job of a single chunk, with its rows kept in the ledger. → the job, or the holder of
    its Idempotency-Key if that is another job.

    `rows_digest`: of `data`. `digest`: of the body, recorded for the key for `keep_ms`. `short`: the longest
    queue that is returned.
    Raises TooManyJobsError.
    """

    def made(answer: Any) -> Submitted | Reservation:
        at_ms = _created(job.id)(answer and answer[0])
        if not at_ms:
            return Reservation(job_id=answer[1].decode(), digest=answer[2].decode())
        line = line_of(answer) if len(answer) > 1 else None
        return Submitted(record=submitted(job, rows, at_ms), line=line)

    limits = (short, job.idempotency, digest, keep_ms, rows_digest)
    fields = job_fields(job, schema=INLINE_SCHEMA)
    return Transition("submit", (job.id, job.owner, job.key, rows, data, *limits, *fields), made)


def _created(job_id: str) -> Callable[[Any], int]:
    def created(answer: Any) -> int:
        if answer is None:
            raise ValueError(f"job id {job_id} is taken")
        if int(answer) < 0:
            raise TooManyJobsError(
                f"You may have {-int(answer)} jobs that have not ended.", retry_after_s=TOO_MANY_JOBS_RETRY_S
            )
        return int(answer)

    return created


def append_chunks(
    job_id: str, rows: Sequence[int], *, digests: Sequence[str] = (), first: int | None, lease_ms: int
) -> Transition[int]:
    """Make chunks with stored rows ready. → index of the first.

    `rows`, `digests`: number of rows and digest, per chunk.
    Raises JobNotFoundError if the job accepts no more chunks, QueueUnavailableError if that index is not
    `first`.
    """

    def appended(answer: Any) -> int:
        _require_appended(job_id, answer)
        return int(answer)

    wanted = "" if first is None else first
    return Transition("append", (job_id, lease_ms, wanted, *_stored(rows, digests)), appended)


def _stored(rows: Sequence[int], digests: Sequence[str]) -> Iterator[str | int]:
    """Rows and digest of each chunk, alternating; empty digests without `digests`."""
    return chain.from_iterable(zip(rows, digests or [""] * len(rows), strict=True))


def fill(
    job_id: str, rows: Sequence[int], *, digests: Sequence[str] = (), first: int, lease_ms: int
) -> Transition[JobRecord]:
    """Append the last chunks, with stored rows, and set the total. → the job, sealed.

    Raises JobNotFoundError if the job accepts no more chunks, QueueUnavailableError if their index is not
    `first`.
    """

    def filled(answer: Any) -> JobRecord:
        _require_appended(job_id, answer)
        return job_from_hash(job_id, _hash(answer))

    return Transition("fill", (job_id, lease_ms, first, *_stored(rows, digests)), filled)


def _require_appended(job_id: str, answer: Any) -> None:
    if answer is None:
        raise JobNotFoundError(f"Job {job_id!r} takes no more rows.")
    if answer == -1:
        raise _torn()


def seal(job_id: str, chunks: int | None) -> Transition[JobState]:
    """Complete the upload.

    Raises JobNotFoundError if the job is not uploading, QueueUnavailableError if it does not have `chunks`
    chunks.
    """

    def state(answer: Any) -> JobState:
        if answer is None:
            raise JobNotFoundError(f"Job {job_id!r} is not uploading.")
        if answer == b"torn":
            raise _torn()
        return JobState(answer.decode())

    return Transition("seal", (job_id, "" if chunks is None else chunks), state)


def _torn() -> QueueUnavailableError:
    """The server lost its last writes: it was restarted without them, or replaced by a replica."""
    return QueueUnavailableError(
        "The queue has lost a part of this job: hand it over again.", retry_after_s=2.0
    )


def read(job_id: str, *, chunks: bool) -> Transition[tuple[dict[Any, Any], dict[Any, Any], Inline]]:
    """The raw hashes of a job and of its chunks, and its inline objects. The latter two are empty unless
    `chunks` is set or the job has succeeded."""

    def hashes(answer: Any) -> tuple[dict[Any, Any], dict[Any, Any], Inline]:
        return _hash(answer[0]), _hash(answer[1]), inline_from_hash(_hash(answer[2]))

    return Transition("read", (job_id, int(chunks)), hashes)


def _hash(flat: Sequence[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def durability_barrier(job_id: str) -> Transition[bool]:
    """A write after all writes of a job, to wait for. → whether the server knows the job"""
    return Transition("durability_barrier", (job_id,), bool)


def fail_job(job_id: str, code: str, detail: str) -> Transition[bool]:
    """Fail an interrupted upload. → whether this call ended the job; sealed and ended jobs are unchanged."""
    return Transition("fail_job", (job_id, code, detail), bool)


def cancel(job_id: str, by: str = "") -> Transition[JobState]:
    """Start no more chunks. `by`, here and below: the caller's name. Raises JobNotFoundError."""
    return Transition("cancel", (job_id, by), _state_of(job_id))


def pause(job_id: str, by: str = "") -> Transition[JobState]:
    """Start no chunk until `resume`; jobs that are neither queued nor running are unchanged."""
    return Transition("pause", (job_id, by), _state_of(job_id))


def resume(job_id: str, by: str = "") -> Transition[Resumed]:
    """Continue a paused job; other jobs are unchanged."""

    def resumed(answer: Any) -> Resumed:
        return Resumed(_state_of(job_id)(answer[0] if answer else None), int(answer[1]) if answer else 0)

    return Transition("resume", (job_id, by), resumed)


def prioritize(job_id: str, priority: int, by: str = "") -> Transition[JobState]:
    """Set the weight, 0–9, from the next claim on."""
    return Transition("prioritize", (job_id, priority, by), _state_of(job_id))


def delete(job_id: str) -> Transition[bool]:
    """Remove the record of an ended job. → whether it had ended"""
    return Transition("delete", (job_id,), bool)


def expire_jobs(
    *, most: int = 100, tombstone_ms: int = 30 * 86_400_000, again_ms: int = 60_000
) -> Transition[list[str]]:
    """Replace jobs past their retention by a tombstone. → these jobs, whose data may be removed.

    They are returned again every `again_ms` until `removed` confirms that the data is removed.
    """
    arguments = (most, tombstone_ms, again_ms)
    return Transition("expire_jobs", arguments, lambda answer: [job_id.decode() for job_id in answer])


def removed(job_id: str) -> Transition[bool]:
    """Confirm that the data of an expired job is removed. → whether this was the first confirmation"""
    return Transition("removed", (job_id,), bool)


def reserve(name: str, job_id: str, *, lease_ms: int) -> Transition[Reservation | None]:
    """Lease an Idempotency-Key to a job. → None: leased to this job; else its holder."""

    def reserved(answer: Any) -> Reservation | None:
        return Reservation(job_id=answer[0].decode(), digest=answer[1].decode()) if answer else None

    return Transition("reserve", (name, job_id, lease_ms), reserved)


def unreserve(name: str, job_id: str) -> Transition[bool]:
    """Free the Idempotency-Key of a job that was never recorded. → whether this job held it"""
    return Transition("unreserve", (name, job_id), bool)


def bind(name: str, job_id: str, digest: str, *, keep_ms: int) -> Transition[bool]:
    """Record the digest of a complete body for an Idempotency-Key. → whether this job still held it"""
    return Transition("bind", (name, job_id, digest, keep_ms), bool)


def claim_webhook(*, lease_ms: int) -> Transition[WebhookClaim | None]:
    """Claim the webhook with the earliest due time; None if none is due."""

    def claimed(answer: Any) -> WebhookClaim | None:
        if answer is None:
            return None
        job_id, due_ms, now_ms, attempts = answer
        return WebhookClaim(job_id=job_id.decode(), due_ms=due_ms, now_ms=now_ms, attempts=attempts)

    return Transition("claim_webhook", (lease_ms,), claimed)


def record_webhook(
    held: WebhookClaim, *, status: int | None, error: str, delay_ms: int | None
) -> Transition[bool]:
    """Record an attempt; the next is due after the delay, if any. → whether the lease was held"""
    blank_or = ["" if value is None else value for value in (status, error, delay_ms)]
    return Transition("record_webhook", (held.job_id, held.due_ms, *blank_or), bool)


def _state_of(job_id: str) -> Callable[[Any], JobState]:
    def state(answer: Any) -> JobState:
        if answer is None:
            raise JobNotFoundError(f"There is no job {job_id!r}.")
        if answer == b"expired":
            raise JobExpiredError(f"Job {job_id!r} was here; its retention is over.")
        return JobState(answer.decode())

    return state
