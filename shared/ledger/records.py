"""The ledger's records: frozen structs, changed only by the ledger's scripts."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from uuid import uuid4

import msgspec

from shared.errors import JobNotFoundError
from shared.integrity import digest_of
from shared.keys import ModelKey, model_key

SCHEMA = 2
"""The newest schema that this process reads. Older schemas are read too; newer records are left to a newer
Takt.

Fields are only added. A missing field has its default; an unknown field is kept unchanged.
"""
UPLOAD_SCHEMA, INLINE_SCHEMA = 1, 2
"""Schemas of a job with rows in the payload store, and of a job with rows in the ledger. A program that does
not
support the latter skips such jobs."""
INLINE_BYTES = 4096
"""Limit of rows, or of a result, kept in the ledger: they use memory until the job is removed."""
COMPUTED_BY = "computed_by:"
"""Prefix of an entry of `JobRecord.computed_by` in a job's hash."""
TOO_MANY_ERRORS = "too_many_errors"
"""Error code of a job above its `max_errors`, set by the scripts."""


class JobState(StrEnum):
    UPLOADING = "uploading"  # rows still arrive; stored chunks may already run
    QUEUED = "queued"  # all rows are stored, no chunk has started
    RUNNING = "running"  # at least one chunk has started
    PAUSED = "paused"  # no chunk starts until it is resumed
    CANCELING = "canceling"  # no more chunks start; running chunks stop at their next slice
    SUCCEEDED = "succeeded"  # every chunk has ended; single rows may have failed
    FAILED = "failed"  # ended early for the reason in `error`
    CANCELED = "canceled"  # ended by its owner

    @property
    def ended(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED)


class ChunkState(StrEnum):
    READY = "ready"  # can be claimed
    LEASED = "leased"  # a worker holds its token
    DONE = "done"  # its result is counted
    FAILED = "failed"  # given up: every row has `error`


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """The fields set by a submission, fixed for the job's life."""

    id: str
    model: str
    version: str
    digest: str  # SHA-256 of the artifact
    owner: str
    reference: str = ""
    tags: tuple[str, ...] = ()
    priority: int = 5  # 0–9, as weight: 9 gets ten times the rows of 0
    retention_ms: int = 7 * 86_400_000  # from its end on
    max_errors: int | None = None  # limit of failed rows; None: no limit
    max_error_share: float | None = None  # limit as a share of all rows, applied when the total is known
    id_column: str = ""  # columns of the input that are returned in the result
    keep_columns: tuple[str, ...] = ()
    webhook_url: str = ""  # notified at its end, see `shared/webhooks.py`
    idempotency: str = ""  # its reservation, see `shared.keys.idempotency`
    traceparent: str = ""  # of its submission's span, if recorded
    built_with: dict[str, str] = {}  # library versions that built the artifact
    spec_digest: str = ""  # of the spec that read its rows, see `shared/model_identity.py`
    replay_of: str = ""  # the job that has the same rows
    retry_of: str = ""  # the job whose rows without a result it has

    @property
    def key(self) -> ModelKey:
        return model_key(self.model, self.version)


class FailureReason(msgspec.Struct, frozen=True):
    code: str
    detail: str


class TimelineEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded event of a job. An event of a newer Takt may have another name."""

    event: str  # uploaded, paused, resumed, cancel_requested, priority_changed, chunks_ended, attempt_failed,
    # chunk_failed, chunk_requeued or result_lost
    at_ms: int
    by: str | None = None  # the name of the caller
    rows: int | None = None
    priority: int | None = None
    chunk: int | None = None
    attempt: int | None = None
    worker: str | None = None
    reason: str | None = None
    chunks_ended: int | None = None
    chunks_total: int | None = None


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job in the ledger. Times are ms of Redis' clock since 1970, UTC."""

    id: str
    model: str
    version: str
    digest: str
    owner: str
    reference: str
    tags: tuple[str, ...]
    priority: int
    state: JobState
    created_at_ms: int
    started_at_ms: int | None
    finished_at_ms: int | None
    rows_total: int | None  # None while uploading
    rows_accepted: int  # stored so far
    rows_succeeded: int
    rows_failed: int
    chunks_total: int
    chunks_ended: int
    chunks_leased: int
    error: FailureReason | None
    expires_at_ms: int | None  # after it has ended
    id_column: str = ""
    keep_columns: tuple[str, ...] = ()
    webhook_url: str = ""  # notified at its end
    paused_ms: int = 0  # total of finished pauses since its start
    paused_at_ms: int | None = None  # start of the current pause
    built_with: dict[str, str] = {}  # library versions that built the artifact; empty in older records
    spec_digest: str = ""  # of the spec that read its rows; empty in jobs of an older gateway
    replay_of: str = ""  # the job that has the same rows
    retry_of: str = ""  # the job whose rows without a result it has
    computed_by: dict[str, str] = {}  # provenance of its chunks as JSON, by the names in the chunks
    timeline: tuple[TimelineEvent, ...] = ()  # the first and the newest; empty in older records
    timeline_omitted: int = 0  # events between them that are not kept

    @property
    def key(self) -> ModelKey:
        return model_key(self.model, self.version)

    @property
    def abandoned(self) -> bool:
        """Whether its upload failed, so that its rows and results are not kept.

        A job that exceeded its error budget during the upload keeps them.
        """
        return (
            self.state is JobState.FAILED
            and self.rows_total is None
            and self.error is not None
            and self.error.code != TOO_MANY_ERRORS
        )

    @property
    def rows_done(self) -> int:
        return self.rows_succeeded + self.rows_failed


class JobHead(msgspec.Struct, frozen=True, kw_only=True):
    """The searchable fields of a job."""

    id: str
    created_at_ms: int
    state: JobState
    model: str
    reference: str
    tags: tuple[str, ...]


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """The holder of an Idempotency-Key. `digest` is empty while that job's body is still being read."""

    job_id: str
    digest: str


class ChunkRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a job's rows, with a lease and a result object."""

    index: int
    state: ChunkState
    rows: int
    attempts: int
    token: str = ""  # of the current lease; when done, of the result
    worker: str = ""
    failed: int = 0  # number of failed rows
    error: str = ""
    rows_digest: str = ""  # of its stored rows; empty in records of an older Takt
    result_digest: str = ""  # of its result; likewise, when done
    computed_by: str = ""  # when done: key of its provenance in the job's `computed_by`
    seal: str = ""  # when done: digest over the fields above that no longer change, see `seal_of`


class QueuePosition(msgspec.Struct, frozen=True, kw_only=True):
    """The position of a job among its owner's jobs of a model version."""

    job_id: str
    served: float  # rows over weight: the least is next
    rows_left: int  # of the stored rows
    priority: int
    owner: str = ""
    chunk_rows: float = 1.0  # average per chunk

    @property
    def weight(self) -> int:
        return self.priority + 1


class OwnerStanding(msgspec.Struct, frozen=True, kw_only=True):
    """The position of an owner among the owners with ready chunks of a model version."""

    owner: str = ""
    served: float = 0.0  # rows over weight: the least is next
    weight: float = 1.0
    jobs: int = 0  # all in its queue
    at_limit: bool = False  # its running rows have reached the limit


class QueueOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The fair order of a model version's jobs. An owner that is not listed has an OwnerStanding's
    defaults."""

    now_ms: int  # by Redis' clock
    jobs: tuple[QueuePosition, ...]  # of each owner, least served first
    owners: tuple[OwnerStanding, ...] = ()  # least served first


class JobEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a job at a moment; ids grow with time."""

    id: str
    state: JobState
    rows_total: int | None
    rows_succeeded: int
    rows_failed: int


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's lease on a chunk."""

    job_id: str
    index: int
    rows: int
    attempt: int
    token: str
    traceparent: str = ""  # of the job's submission, if recorded
    data: bytes = b""  # its rows, if the ledger keeps them
    rows_digest: str = ""  # recorded digest of its rows; empty: none

    @property
    def small(self) -> bool:
        """Whether it may run together with other chunks; a chunk that was tried before runs alone."""
        return bool(self.data) and self.attempt == 1


class FailedRows(msgspec.Struct, frozen=True, kw_only=True):
    """Failed rows of a chunk with the same reason."""

    key: str  # the reason without values that differ between rows
    text: str  # the reason of the first of these rows
    rows: int
    first: str  # place of the first of these rows: `row 99`


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a claim: counts of its rows, and the reasons of failed rows."""

    held: Claim
    rows_succeeded: int
    rows_failed: int
    first_errors: Sequence[FailedRows | str] = ()  # a text: of one row
    result: bytes = b""  # if it is to be kept in the ledger, beside the rows
    result_digest: str = ""  # of the result, wherever it is stored
    computed_by: str = ""  # its provenance as JSON, see `worker/models/provenance.py`


class Inline(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a small job's only chunk, and their result, kept in the ledger; empty for other jobs."""

    rows: bytes = b""
    result: bytes = b""


NOTHING_INLINE = Inline()


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """A complete job that was just submitted."""

    record: JobRecord
    line: QueueOrder | None  # its queue, if that is short


class WebhookClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's lease on the delivery of a webhook, until the webhook is due again."""

    job_id: str
    due_ms: int  # also the fencing token: a later claim has another value
    now_ms: int
    attempts: int  # number of earlier attempts


class WebhookAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt to deliver a webhook, successful if `status` is 2xx."""

    at_ms: int  # its end, by Redis' clock
    status: int | None  # of the receiver's answer
    error: str  # why there was no answer
    next_at_ms: int | None  # None: delivered, or given up

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class CommitOutcome(StrEnum):
    """The outcome of a commit."""

    COMMITTED = "committed"
    REPEATED = "repeated"  # the same token had committed before: nothing was counted twice
    LOST = "lost"  # the lease was lost, or the job has ended: the result is dropped


class Recomputed(StrEnum):
    """The outcome for a chunk with a lost result."""

    READY = "ready"  # it is computed again from its rows
    FAILED = "failed"  # it is given up: every row has the reason
    STALE = "stale"  # the ledger has no result of this token: another caller was first, or the job is gone


def new_job_id() -> str:
    """A random id."""
    return uuid4().hex


@lru_cache(maxsize=256)
def computed_by_name(about: str) -> str:
    """The name of an entry of `JobRecord.computed_by`, a function of its text."""
    return digest_of(about.encode())[:12] if about else ""


def check_job_id(job_id: str) -> None:
    """Raises JobNotFoundError for an invalid id: with a colon it would name another key of a job."""
    if ":" in job_id:
        raise JobNotFoundError(f"There is no job {job_id!r}.")


def new_token() -> str:
    return uuid4().hex[:16]
