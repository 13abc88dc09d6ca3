"""What the ledger remembers: frozen records, changed only by its scripts."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from uuid import uuid4

import msgspec

from shared.errors import JobNotFound
from shared.integrity import digest_of
from shared.keys import ModelKey, model_key

SCHEMA = 2
"""The newest that is read here; those of an older one are read, a newer one's are left to it.

Fields are only added. One that a record lacks has a default, one that nobody here knows is kept as it is.
"""
UPLOAD_SCHEMA, INLINE_SCHEMA = 1, 2
"""Of a job whose rows lie in the payload store, and of one whose rows lie in the ledger: who knows no such
jobs passes them over."""
INLINE_BYTES = 4096
"""Of rows, or of a result, that lie in the ledger at most: it is memory, for as long as the job is kept."""
COMPUTED_BY = "computed_by:"
"""What stands before the name of an entry of `JobRecord.computed_by` in a job's hash."""
TOO_MANY_ERRORS = "too_many_errors"
"""Why a job failed that is past its `max_errors`; the scripts say it."""


class JobState(StrEnum):
    UPLOADING = "uploading"  # its rows are still coming in; chunks that are stored may run already
    QUEUED = "queued"  # all rows are here, no chunk has started
    RUNNING = "running"  # at least one chunk has started
    PAUSED = "paused"  # no chunk starts until it is resumed
    CANCELING = "canceling"  # no chunk starts any more; what runs stops at its next slice
    SUCCEEDED = "succeeded"  # every chunk has ended; single rows may have failed
    FAILED = "failed"  # ended early, `error` says why
    CANCELED = "canceled"  # ended by its owner

    @property
    def ended(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED)


class ChunkState(StrEnum):
    READY = "ready"  # waits to be claimed
    LEASED = "leased"  # a worker holds its token
    DONE = "done"  # its result counts
    FAILED = "failed"  # given up: every row bears `error`


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """What a submission decides; pinned for the job's life."""

    id: str
    model: str
    version: str
    digest: str  # SHA-256 of the artifact
    owner: str
    reference: str = ""
    tags: tuple[str, ...] = ()
    priority: int = 5  # 0–9, as weight: 9 gets ten times the rows of 0
    retention_ms: int = 7 * 86_400_000  # from its end on
    max_errors: int | None = None  # rows that may fail; none: any number
    max_error_share: float | None = None  # of all rows, judged once the total is known
    id_column: str = ""  # kept columns of the input that come back in the result
    keep_columns: tuple[str, ...] = ()
    webhook_url: str = ""  # where its end is told, see `shared/webhooks.py`
    idempotency: str = ""  # the reservation that it holds, see `shared.keys.idempotency`
    traceparent: str = ""  # of its submission's span, where that is recorded
    built_with: dict[str, str] = {}  # library versions that made the artifact
    spec_digest: str = ""  # of the spec that its rows were read by, see `shared/model_identity.py`

    @property
    def key(self) -> ModelKey:
        return model_key(self.model, self.version)


class JobError(msgspec.Struct, frozen=True):
    code: str
    detail: str


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the ledger knows it. Times are ms of Redis' clock since 1970, UTC."""

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
    rows_total: int | None  # null while uploading
    rows_accepted: int  # stored so far
    rows_succeeded: int
    rows_failed: int
    chunks_total: int
    chunks_ended: int
    chunks_leased: int
    error: JobError | None
    expires_at_ms: int | None  # once it has ended
    id_column: str = ""
    keep_columns: tuple[str, ...] = ()
    webhook_url: str = ""  # where its end is told
    paused_ms: int = 0  # between its start and now, in pauses that are over
    paused_at_ms: int | None = None  # since when it has been paused, up to its end
    built_with: dict[str, str] = {}  # library versions that made the artifact; empty in older records
    spec_digest: str = ""  # of the spec that its rows were read by; an older gateway's job has none
    computed_by: dict[str, str] = {}  # JSON of what computed its chunks, by the names that they give it

    @property
    def key(self) -> ModelKey:
        return model_key(self.model, self.version)

    @property
    def abandoned(self) -> bool:
        """Whether its upload failed, so that nothing of its rows and results is kept.

        A job that ran out of its error budget while its rows came in keeps them.
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
    """What a job is found by."""

    id: str
    created_at_ms: int
    state: JobState
    model: str
    reference: str
    tags: tuple[str, ...]


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an Idempotency-Key belongs to. `digest` is empty while that job's body is still being read."""

    job_id: str
    digest: str


class ChunkRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One slice of a job: one lease, one result object."""

    index: int
    state: ChunkState
    rows: int
    attempts: int
    token: str = ""  # of the current lease; of the result once done
    worker: str = ""
    failed: int = 0  # rows of it that failed
    error: str = ""
    rows_sha256: str = ""  # of its rows as they were stored; empty: recorded by a Takt that knew none
    result_sha256: str = ""  # of its result, likewise; once done
    computed_by: str = ""  # once done: which of the job's `computed_by` made the result
    seal: str = ""  # once done: over all of the above that does not change any more, see `seal_of`


class QueuePosition(msgspec.Struct, frozen=True, kw_only=True):
    """The place of a job among its owner's jobs of a model version."""

    job_id: str
    served: float  # rows over weight: the least goes first
    rows_left: int  # of those that are stored
    priority: int
    owner: str = ""
    chunk_rows: float = 1.0  # of one chunk, on average

    @property
    def weight(self) -> int:
        return self.priority + 1


class OwnerStanding(msgspec.Struct, frozen=True, kw_only=True):
    """The place of an owner among the owners that have ready chunks of a model version."""

    owner: str = ""
    served: float = 0.0  # rows over weight: the least goes first
    weight: float = 1.0
    jobs: int = 0  # all that stand in its line
    at_limit: bool = False  # as many rows of it run as may


class QueueOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs of a model version that are served in turn. An owner that is not listed has an OwnerStanding's
    defaults."""

    now_ms: int  # by Redis' clock
    jobs: tuple[QueuePosition, ...]  # of each owner, least served first
    owners: tuple[OwnerStanding, ...] = ()  # least served first


class JobEvent(msgspec.Struct, frozen=True, kw_only=True):
    """How far a job was at one moment; ids grow with time."""

    id: str
    state: JobState
    rows_total: int | None
    rows_succeeded: int
    rows_failed: int


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's right to one chunk, until its lease runs out."""

    job_id: str
    index: int
    rows: int
    attempt: int
    token: str
    traceparent: str = ""  # of the job's submission, where that is recorded
    data: bytes = b""  # its rows, where they lie in the ledger
    rows_sha256: str = ""  # what their digest must be; empty: none was recorded

    @property
    def small(self) -> bool:
        """Whether it may run together with others: one that was tried before runs by itself."""
        return bool(self.data) and self.attempt == 1


class FailedRows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one chunk that failed for the same reason."""

    key: str  # the reason without the values that differ from row to row
    text: str  # as the first of them says it
    rows: int
    first: str  # where that one is: `row 99`


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a claim: its rows, counted, and why rows failed."""

    held: Claim
    rows_succeeded: int
    rows_failed: int
    first_errors: Sequence[FailedRows | str] = ()  # a text: of one row
    result: bytes = b""  # where it is to lie in the ledger, beside the rows
    result_sha256: str = ""  # of the result, wherever it lies
    computed_by: str = ""  # what made it, as JSON, see `worker/models/provenance.py`


class Inline(msgspec.Struct, frozen=True, kw_only=True):
    """What of a job lies in the ledger: the rows of its one chunk, and their result; else empty."""

    rows: bytes = b""
    result: bytes = b""


NOTHING_INLINE = Inline()


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was submitted as a whole just now."""

    record: JobRecord
    line: QueueOrder | None  # that it stands in, where that is short


class WebhookClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's right to deliver one webhook. Its lease is the time at which the webhook is due again."""

    job_id: str
    due_ms: int  # fences: who claims it after that has another
    now_ms: int
    attempts: int  # made before


class WebhookAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to deliver a webhook. It was delivered where `status` is 2xx."""

    at_ms: int  # its end, by Redis' clock
    status: int | None  # what the receiver answered, or
    error: str  # … why there was no answer
    next_at_ms: int | None  # none: delivered, or given up

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class CommitOutcome(StrEnum):
    """What became of a commit."""

    COMMITTED = "committed"
    REPEATED = "repeated"  # the same token had committed before: nothing was counted twice
    LOST = "lost"  # the lease went to another, or the job has ended: the result is dropped


class Recomputed(StrEnum):
    """What was decided about a chunk with a lost result."""

    READY = "ready"  # it is computed again from its rows
    FAILED = "failed"  # it is given up: every row has the reason
    STALE = "stale"  # the ledger has no result of this token: another caller was first, or the job is gone


def new_job_id() -> str:
    """Unguessable, and of no meaning."""
    return uuid4().hex


@lru_cache(maxsize=256)
def computed_by_name(about: str) -> str:
    """The name of an entry of `JobRecord.computed_by`: the same text always has the same."""
    return digest_of(about.encode())[:12] if about else ""


def check_job_id(job_id: str) -> None:
    """Raises JobNotFound for what cannot be a job's id: with a colon it would spell another key of a job."""
    if ":" in job_id:
        raise JobNotFound(f"There is no job {job_id!r}.")


def new_token() -> str:
    return uuid4().hex[:16]
