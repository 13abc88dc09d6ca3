"""Transitions of chunks: claim, renew, commit, hand back, recompute, expire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from shared.keys import ModelKey
from shared.ledger.lua_scripts import Transition
from shared.ledger.records import Claim, CommitOutcome, Ended, QueueOrder, Recomputed, computed_by_name
from shared.ledger.serialization import line_of, seal_of


@dataclass(frozen=True)
class Committed:
    outcomes: list[CommitOutcome]
    more: bool  # whether anything of the model version is ready


@dataclass(frozen=True)
class Expired:
    """Jobs whose stored rows and results are no longer needed."""

    interrupted: list[str]  # their upload was interrupted
    orphaned: list[str]  # removed during a worker's lease; the worker may have stored a result since


def line(key: ModelKey, *, most: int) -> Transition[QueueOrder]:
    """The jobs in the fair order of a model version, at most `most`."""
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
    """Claim the next chunk of a model version in the fair order, and if it is small, the small chunks after
    it:
    at most `most` chunks of `most_rows` rows.

    `digest`, `spec_digest`: only of jobs submitted for this artifact and this spec; empty: of any.
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
                rows_digest=sha256.decode(),
            )
            for job_id, index, rows, attempt, token, traceparent, data, sha256 in answer
        ]

    limits = (lease_ms, max_attempts, digest, most, most_rows, spec_digest)
    return Transition("claim", (key, worker, token, *limits), claimed)


def renew(held: Claim, *, lease_ms: int) -> Transition[bool]:
    """→ whether the lease is still held."""
    return Transition("renew", (held.job_id, held.index, held.token, lease_ms), bool)


def commit(key: ModelKey, ended: Sequence[Ended]) -> Transition[Committed]:
    """Count results, each once and on its own."""

    def committed(answer: Any) -> Committed:
        return Committed([CommitOutcome(outcome.decode()) for outcome in answer[0]], bool(answer[1]))

    arguments = (argument for result in ended for argument in _commit_arguments(result))
    return Transition("commit", (key, *arguments), committed)


def _commit_arguments(ended: Ended) -> tuple[str | int | bytes, ...]:
    held, errors = ended.held, msgspec.json.encode(list(ended.first_errors))
    chunk = (held.job_id, held.index, held.token)
    result = (ended.result, ended.result_digest, computed_by_name(ended.computed_by), ended.computed_by)
    seal = seal_of(held, ended) if ended.result_digest else ""
    return (*chunk, ended.rows_succeeded, ended.rows_failed, errors, *result, seal)


def hand_back(
    key: ModelKey, held: Claim, *, at_fault: bool, reason: str = "", delay_ms: int = 0
) -> Transition[bool]:
    """Give up a chunk; it is ready at once, or after the delay.

    → whether anything of the model version is ready. `reason`: for its rows, if this was the last attempt.
    """
    arguments = (held.job_id, held.index, held.token, int(at_fault), key, reason, delay_ms)
    return Transition("hand_back", arguments, bool)


def requeue_chunk(job_id: str, index: int, by: str = "") -> Transition[bool]:
    """Try a failed chunk once more. → False if it has not failed, or its job has ended.

    `by`: the name of the caller. Sends no doorbell: the reconciler does.
    """
    return Transition("requeue_chunk", (job_id, index, by), bool)


def recompute(job_id: str, index: int, token: str, reason: str) -> Transition[Recomputed]:
    """Compute a chunk again because its stored result with this token is lost or damaged.

    A job that has succeeded runs again. If the job has ended in another way, or if the result was lost
    several times, the chunk fails with the reason. Sends no doorbell: the reconciler does.
    """
    return Transition("recompute", (job_id, index, token, reason), lambda answer: Recomputed(answer.decode()))


def expire_leases(*, grace_ms: int, most: int = 1000, ended: Sequence[str] = ()) -> Transition[Expired]:
    """Make chunks of expired leases ready again; leases of workers without a heartbeat expire after the
    grace, those of workers that are known to have ended at once."""

    def expired(answer: Any) -> Expired:
        interrupted, orphaned = ([job_id.decode() for job_id in ids] for ids in answer)
        return Expired(interrupted, orphaned)

    return Transition("expire_leases", (most, grace_ms, *ended), expired)


def ready(*, most: int) -> Transition[dict[ModelKey, int]]:
    """Ready chunks by model version, without zeros; counting stops at `most`."""

    def counts(answer: Any) -> dict[ModelKey, int]:
        pairs = zip(answer[::2], answer[1::2], strict=True)
        return {ModelKey(key.decode()): count for key, count in pairs if count}

    return Transition("ready", (most,), counts)
