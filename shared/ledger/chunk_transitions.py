"""Transitions of chunks: claim, renew, commit, hand back, recompute, expire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from shared.keys import ModelKey
from shared.ledger.lua import Transition
from shared.ledger.records import Claim, CommitOutcome, Ended, QueueOrder, Recomputed, computed_by_name
from shared.ledger.serialization import line_of, seal_of


@dataclass(frozen=True)
class Committed:
    outcomes: list[CommitOutcome]
    more: bool  # whether anything of the model version is ready


@dataclass(frozen=True)
class Expired:
    """Jobs whose stored rows and results are nobody's any more."""

    interrupted: list[str]  # their upload broke off
    orphaned: list[str]  # they were removed while a worker held a chunk, which may have stored a result since


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


def ready(*, most: int) -> Transition[dict[ModelKey, int]]:
    """Ready chunks by model version, where there are any; counted until there are at least `most`."""

    def counts(answer: Any) -> dict[ModelKey, int]:
        pairs = zip(answer[::2], answer[1::2], strict=True)
        return {ModelKey(key.decode()): count for key, count in pairs if count}

    return Transition("ready", (most,), counts)
