"""`Ledger`: the ledger for threads, used by a worker.

It sends a doorbell after transitions that leave chunks ready. Sending needs Celery, so the function is passed
in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import redis
import redis.asyncio
from redis.commands.core import Script
from redis.exceptions import RedisError

from shared import keys
from shared.doorbells import Notify
from shared.keys import ModelKey
from shared.ledger import chunk_transitions, job_transitions
from shared.ledger.chunk_transitions import Expired
from shared.ledger.lua_scripts import Transition, source
from shared.ledger.records import (
    Claim,
    CommitOutcome,
    Ended,
    FailedRows,
    JobRecord,
    Recomputed,
    WebhookClaim,
    check_job_id,
    new_token,
)
from shared.ledger.serialization import job_from_hash
from shared.recovery_times import SILENT_GRACE_S, UNCONFIRMED_LEASE_MS

T = TypeVar("T")


class Ledger:
    """The ledger for threads. Methods raise redis.exceptions.RedisError if the server does not answer."""

    def __init__(
        self,
        client: redis.Redis,
        notify: Notify,
        *,
        worker: str,
        lease_s: float,
        max_attempts: int,
        grace_s: float = SILENT_GRACE_S,
    ) -> None:
        self._client = client
        self._notify = notify
        self._worker = worker
        self._lease_ms = round(lease_s * 1000)
        self._max_attempts = max_attempts
        self._grace_ms = round(grace_s * 1000)
        self._scripts: dict[str, Script] = {}

    @property
    def max_attempts(self) -> int:
        """Limit of the attempts per chunk."""
        return self._max_attempts

    def claim(self, key: ModelKey, *, digest: str = "") -> Claim | None:
        """Claim the next chunk of a model version. → None if nothing is ready.

        `digest`: only of jobs submitted for this artifact. The lease is short until this worker has received
        the claim, so that a lost answer does not block the chunk.
        """
        claims = self._claim(key, digest, "", most=1, most_rows=0)
        return self._confirmed(key, claims[0]) if claims else None

    def claim_some(
        self, key: ModelKey, *, digest: str = "", spec_digest: str = "", most: int, most_rows: int
    ) -> list[Claim]:
        """Claim the next chunk, and if it is small, the small chunks after it in the fair order: at most
        `most`
        chunks of `most_rows` rows in total.

        The leases of small chunks stay short: renew or commit them within a second or two.
        """
        claims = self._claim(key, digest, spec_digest, most, most_rows)
        if not claims or claims[0].small:
            return claims
        held = self._confirmed(key, claims[0])
        return [held] if held else []

    def _claim(self, key: ModelKey, digest: str, spec_digest: str, most: int, most_rows: int) -> list[Claim]:
        return self._run(
            chunk_transitions.claim(
                key,
                worker=self._worker,
                token=new_token(),
                lease_ms=min(self._lease_ms, UNCONFIRMED_LEASE_MS),
                max_attempts=self._max_attempts,
                digest=digest,
                most=most,
                most_rows=most_rows,
                spec_digest=spec_digest,
            )
        )

    def _confirmed(self, key: ModelKey, held: Claim) -> Claim | None:
        try:
            if self.renew(held):
                return held
            self.hand_back(key, held, at_fault=False)  # its job was paused or canceled in between
            return None
        except RedisError:
            return held  # the renewal may have succeeded: dropping the chunk now would block it

    def renew(self, held: Claim) -> bool:
        """→ whether the lease is still held. If it is not, stop the work on the chunk."""
        return self._run(chunk_transitions.renew(held, lease_ms=self._lease_ms))

    def commit(
        self,
        key: ModelKey,
        held: Claim,
        *,
        rows_succeeded: int,
        rows_failed: int,
        first_errors: Sequence[FailedRows | str] = (),
    ) -> CommitOutcome:
        """Count a stored result, once and only under the current token; send a doorbell if anything is
        ready."""
        ended = Ended(
            held=held, rows_succeeded=rows_succeeded, rows_failed=rows_failed, first_errors=first_errors
        )
        (outcome,) = self.commit_some(key, [ended])
        return outcome

    def commit_some(self, key: ModelKey, ended: Sequence[Ended]) -> list[CommitOutcome]:
        """Like `commit` for several chunks, each on its own, whether claimed together or not."""
        committed = self._run(chunk_transitions.commit(key, ended))
        if committed.more:
            self._notify(key, 1)
        return committed.outcomes

    def hand_back(
        self, key: ModelKey, held: Claim, *, at_fault: bool, reason: str = "", delay_s: float = 0.0
    ) -> None:
        """Give up a chunk, so that it can be claimed again, at once or after the delay; send a doorbell if
        anything is ready.

        `reason`: the error of its rows if this was the last attempt.
        """
        delay_ms = round(delay_s * 1000)
        if self._run(
            chunk_transitions.hand_back(key, held, at_fault=at_fault, reason=reason, delay_ms=delay_ms)
        ):
            self._notify(key, 1)

    def recompute(self, job_id: str, index: int, token: str, reason: str) -> Recomputed:
        """Compute a chunk again because its stored result with this token is lost or damaged."""
        return self._run(chunk_transitions.recompute(job_id, index, token, reason))

    def expire_leases(self, ended: Sequence[str] = ()) -> Expired:
        """Make chunks of expired leases and dead workers ready again, those of `ended` workers at once.
        → jobs with stored data to remove"""
        return self._run(chunk_transitions.expire_leases(grace_ms=self._grace_ms, ended=ended))

    def expire_jobs(self) -> list[str]:
        """End jobs past their retention. → these jobs; their data may be removed.

        A job is returned again after a minute, until `removed` confirms that its data is removed.
        """
        return self._run(job_transitions.expire_jobs())

    def removed(self, job_id: str) -> None:
        """Confirm that the data of an expired job is removed."""
        self._run(job_transitions.removed(job_id))

    def ready(self, *, most: int = 1000) -> dict[ModelKey, int]:
        """Ready chunks by model version, without zeros; counting stops at `most`."""
        return self._run(chunk_transitions.ready(most=most))

    def age_s(self) -> float:
        """Age of this ledger since it was first seen; an emptied ledger starts again at 0."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.time()
        seconds, micros = pipeline.execute()[0]
        now_ms: int = seconds * 1000 + micros // 1000
        self._client.set(keys.born(), now_ms, nx=True)
        born: Any = self._client.get(keys.born())
        return (now_ms - int(born)) / 1000

    def unknown(self, job_ids: Sequence[str]) -> list[str]:
        """The ids that belong neither to a job nor to an expired job with data that is still to be
        removed."""
        pipeline = self._client.pipeline(transaction=False)
        for job_id in job_ids:
            pipeline.hexists(keys.job(job_id), "created_at_ms")
            pipeline.zscore(keys.expiring(), job_id)
        answers = pipeline.execute()
        found = zip(job_ids, answers[::2], answers[1::2], strict=True)
        return [job_id for job_id, is_job, score in found if not is_job and score is None]

    def claim_webhook(self, *, lease_s: float) -> WebhookClaim | None:
        """The webhook with the earliest due time, or None. It is due again when its lease ends."""
        return self._run(job_transitions.claim_webhook(lease_ms=round(lease_s * 1000)))

    def record_webhook(
        self, held: WebhookClaim, *, status: int | None, error: str, delay_s: float | None
    ) -> bool:
        """Record an attempt and the delay until the next; None: no more. → whether the lease was still
        held"""
        delay_ms = None if delay_s is None else round(delay_s * 1000)
        return self._run(job_transitions.record_webhook(held, status=status, error=error, delay_ms=delay_ms))

    def read(self, job_id: str) -> JobRecord:
        """Raises JobNotFound, and JobExpired if the job's retention is over."""
        check_job_id(job_id)
        return job_from_hash(job_id, self._client.hgetall(keys.job(job_id)))

    def _run(self, transition: Transition[T]) -> T:
        if transition.script not in self._scripts:  # registering computes the digest of its text
            text = source(transition.script)
            self._scripts[transition.script] = self._client.register_script(text)
        return transition.decode(self._scripts[transition.script](args=transition.arguments))
