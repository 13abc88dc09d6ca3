"""`Ledger`: the ledger for threads, as a worker uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import redis
import redis.asyncio
from redis.commands.core import Script
from redis.exceptions import RedisError

from shared import keys
from shared.doorbells import Ring
from shared.keys import ModelKey
from shared.ledger import chunk_transitions, job_transitions
from shared.ledger.chunk_transitions import Expired
from shared.ledger.lua import Transition, source
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
from shared.ledger.serialization import (
    job_from_hash,
)

T = TypeVar("T")

SILENT_GRACE_S = 2.0
"""How long a worker without a heartbeat may still renew: a server that comes back has forgotten them all."""
UNHEARD_LEASE_MS = 3000
"""How long a claim holds its chunk until its worker says that it has heard of it."""


class Ledger:
    """The ledger for threads. Methods raise redis.exceptions.RedisError where the server does not answer."""

    def __init__(
        self,
        client: redis.Redis,
        ring: Ring,
        *,
        worker: str,
        lease_s: float,
        max_attempts: int,
        grace_s: float = SILENT_GRACE_S,
    ) -> None:
        self._client = client
        self._ring = ring
        self._worker = worker
        self._lease_ms = round(lease_s * 1000)
        self._max_attempts = max_attempts
        self._grace_ms = round(grace_s * 1000)
        self._scripts: dict[str, Script] = {}

    @property
    def max_attempts(self) -> int:
        """How often a chunk is tried."""
        return self._max_attempts

    def claim(self, key: ModelKey, *, digest: str = "") -> Claim | None:
        """The next chunk of a model version, or None where nothing is ready.

        `digest`: only of jobs that were submitted for this artifact. The lease is short until this worker has
        heard of it, so that an answer that gets lost holds no chunk up.
        """
        claims = self._claimed(key, digest, "", most=1, most_rows=0)
        return self._heard(key, claims[0]) if claims else None

    def claim_some(
        self, key: ModelKey, *, digest: str = "", spec_digest: str = "", most: int, most_rows: int
    ) -> list[Claim]:
        """The same, and where that chunk is small, those that come after it in the fair order while they are
        small, too: at most so many, of so many rows in all.

        The leases of small ones stay short: they are to be renewed, or committed, within a second or two.
        """
        claims = self._claimed(key, digest, spec_digest, most, most_rows)
        if not claims or claims[0].small:
            return claims
        held = self._heard(key, claims[0])
        return [held] if held else []

    def _claimed(
        self, key: ModelKey, digest: str, spec_digest: str, most: int, most_rows: int
    ) -> list[Claim]:
        return self._run(
            chunk_transitions.claim(
                key,
                worker=self._worker,
                token=new_token(),
                lease_ms=min(self._lease_ms, UNHEARD_LEASE_MS),
                max_attempts=self._max_attempts,
                digest=digest,
                most=most,
                most_rows=most_rows,
                spec_digest=spec_digest,
            )
        )

    def _heard(self, key: ModelKey, held: Claim) -> Claim | None:
        try:
            if self.renew(held):
                return held
            self.hand_back(key, held, at_fault=False)  # its job was paused or canceled in between
            return None
        except RedisError:
            return held  # the renewal may have arrived: whoever dropped the chunk now would hold it up

    def renew(self, held: Claim) -> bool:
        """→ whether the lease is still held; once it is not, the chunk's work must stop."""
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
        """Count a stored result, once and only under the current token; ring if anything is ready."""
        ended = Ended(
            held=held, rows_succeeded=rows_succeeded, rows_failed=rows_failed, first_errors=first_errors
        )
        (outcome,) = self.commit_some(key, [ended])
        return outcome

    def commit_some(self, key: ModelKey, ended: Sequence[Ended]) -> list[CommitOutcome]:
        """The same of several, each for itself; they may have been claimed together or not."""
        committed = self._run(chunk_transitions.commit(key, ended))
        if committed.more:
            self._ring(key, 1)
        return committed.outcomes

    def hand_back(
        self, key: ModelKey, held: Claim, *, at_fault: bool, reason: str = "", delay_s: float = 0.0
    ) -> None:
        """Give a chunk up, so that another claims it at once, or after the delay; ring if anything is ready.

        `reason`: what its rows say if this was the last attempt.
        """
        delay_ms = round(delay_s * 1000)
        if self._run(
            chunk_transitions.hand_back(key, held, at_fault=at_fault, reason=reason, delay_ms=delay_ms)
        ):
            self._ring(key, 1)

    def recompute(self, job_id: str, index: int, token: str, reason: str) -> Recomputed:
        """Compute a chunk again, because its stored result with this token is lost or damaged."""
        return self._run(chunk_transitions.recompute(job_id, index, token, reason))

    def expire(self) -> Expired:
        """Bring back what expired leases and dead workers held. → jobs of which nothing may stay stored"""
        return self._run(chunk_transitions.expire(grace_ms=self._grace_ms))

    def retire(self) -> list[str]:
        """End the retention of jobs whose time has come. → those jobs; their data may go.

        A job comes again after a minute, until `removed` says that its data has gone.
        """
        return self._run(job_transitions.retire())

    def removed(self, job_id: str) -> None:
        """The data of a retired job has gone."""
        self._run(job_transitions.removed(job_id))

    def ready(self, *, most: int = 1000) -> dict[ModelKey, int]:
        """Ready chunks by model version, where there are any; counted until there are at least `most`."""
        return self._run(chunk_transitions.ready(most=most))

    def age_s(self) -> float:
        """How long this ledger has existed, as far as it knows: one that was emptied has just begun."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.time()
        seconds, micros = pipeline.execute()[0]
        now_ms: int = seconds * 1000 + micros // 1000
        self._client.set(keys.born(), now_ms, nx=True)
        born: Any = self._client.get(keys.born())
        return (now_ms - int(born)) / 1000

    def unknown(self, job_ids: Sequence[str]) -> list[str]:
        """Those that are neither jobs nor retired ones with data that is still to be removed."""
        pipeline = self._client.pipeline(transaction=False)
        for job_id in job_ids:
            pipeline.hexists(keys.job(job_id), "created_at_ms")
            pipeline.zscore(keys.expiring(), job_id)
        answers = pipeline.execute()
        found = zip(job_ids, answers[::2], answers[1::2], strict=True)
        return [job_id for job_id, is_job, score in found if not is_job and score is None]

    def claim_webhook(self, *, lease_s: float) -> WebhookClaim | None:
        """The webhook that is due longest, or None. It is due again once its lease has run out."""
        return self._run(job_transitions.claim_webhook(lease_ms=round(lease_s * 1000)))

    def record_webhook(
        self, held: WebhookClaim, *, status: int | None, error: str, delay_s: float | None
    ) -> bool:
        """Note an attempt, and when to try again; None: never. → whether the lease was still held."""
        delay_ms = None if delay_s is None else round(delay_s * 1000)
        return self._run(job_transitions.record_webhook(held, status=status, error=error, delay_ms=delay_ms))

    def read(self, job_id: str) -> JobRecord:
        """Raises JobNotFound, and JobExpired where its retention is over."""
        check_job_id(job_id)
        return job_from_hash(job_id, self._client.hgetall(keys.job(job_id)))

    def _run(self, transition: Transition[T]) -> T:
        if transition.script not in self._scripts:  # registering takes the digest of its text
            text = source(transition.script)
            self._scripts[transition.script] = self._client.register_script(text)
        return transition.decode(self._scripts[transition.script](args=transition.arguments))
