"""What the ledger remembers: frozen records, changed only by its scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any
from uuid import uuid4

import msgspec

from shared.dead_letters import LetterKind, Unreadable
from shared.errors import JobExpired, JobNotFound, RecordUnreadable
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
_TOMBSTONE = b"expired"
TOO_MANY_ERRORS = "too_many_errors"
"""Why a job failed that is past its `max_errors`; the scripts say it."""
_MALFORMED = (KeyError, TypeError, ValueError, RecursionError, msgspec.MsgspecError)


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


def job_fields(job: NewJob, schema: int = UPLOAD_SCHEMA) -> list[str]:
    """Field, value, … of a new job's hash."""
    record = {
        "schema": str(schema),
        "id": job.id,
        "model": job.model,
        "version": job.version,
        "key": job.key,
        "digest": job.digest,
        "owner": job.owner,
        "reference": job.reference,
        "tags": _text(job.tags),
        "priority": str(job.priority),
        "retention_ms": str(job.retention_ms),
        "max_errors": "" if job.max_errors is None else str(job.max_errors),
        "max_error_share": "" if job.max_error_share is None else str(job.max_error_share),
        "id_column": job.id_column,
        "keep_columns": _text(job.keep_columns),
        "webhook_url": job.webhook_url,
        "idempotency": job.idempotency,
    }
    if job.traceparent:
        record["traceparent"] = job.traceparent
    if job.spec_digest:
        record["spec_digest"] = job.spec_digest
    if job.built_with:
        record["built_with"] = msgspec.json.encode(job.built_with).decode()
    return [part for item in record.items() for part in item]


def _text(names: tuple[str, ...]) -> str:
    return msgspec.json.encode(names).decode()


def job_from_hash(job_id: str, fields: Mapping[Any, Any]) -> JobRecord:
    """The record of a raw hash (Any: redis-py's own types, bytes here).

    Raises JobNotFound where there is no such hash, JobExpired where a tombstone stands for it, and
    RecordUnreadable.
    """
    if not fields:
        raise JobNotFound(f"There is no job {job_id!r}.")
    if fields.get(b"state") == _TOMBSTONE:
        gone = f"Job {job_id!r} was here; its retention is over and its data is gone."
        raise JobExpired(gone, owner=fields.get(b"owner", b"").decode())
    try:
        schema = int(fields.get(b"schema", SCHEMA))
        if schema > SCHEMA:
            raise RecordUnreadable(f"schema version {schema}; up to {SCHEMA} is read here")
        return _job_record(fields)
    except _MALFORMED as error:
        raise RecordUnreadable(f"{type(error).__name__}: {error}") from None


def unreadable_job(
    job_id: str, fields: Mapping[Any, Any] | Sequence[Any], error: RecordUnreadable
) -> Unreadable:
    """A raw hash, or some of its fields, as a dead letter."""
    return Unreadable(kind=LetterKind.JOB, place=job_id, reason=error.detail, data=repr(fields).encode())


def _job_record(fields: Mapping[Any, Any]) -> JobRecord:
    values: dict[str, object] = {name.decode(): value.decode() for name, value in fields.items()}
    for name in ("tags", "keep_columns"):
        values[name] = msgspec.json.decode(fields.get(name.encode(), b"[]"))
    values["built_with"] = msgspec.json.decode(fields.get(b"built_with", b"{}"))
    if fields.get(b"finished_at_ms"):
        values["expires_at_ms"] = int(fields[b"finished_at_ms"]) + int(fields[b"retention_ms"])
    if b"error_code" in fields:
        values["error"] = {"code": values["error_code"], "detail": values["error_detail"]}
    values["computed_by"] = {
        name.removeprefix(COMPUTED_BY): text for name, text in values.items() if name.startswith(COMPUTED_BY)
    }
    blank = dict.fromkeys(("started_at_ms", "finished_at_ms", "rows_total", "error", "expires_at_ms"))
    return msgspec.convert(blank | values, JobRecord, strict=False)


def submitted(job: NewJob, rows: int, created_at_ms: int) -> JobRecord:
    """The record of a job that was submitted as a whole just now, as the ledger has it."""
    return JobRecord(
        id=job.id,
        model=job.model,
        version=job.version,
        digest=job.digest,
        owner=job.owner,
        reference=job.reference,
        tags=job.tags,
        priority=job.priority,
        state=JobState.QUEUED,
        created_at_ms=created_at_ms,
        started_at_ms=None,
        finished_at_ms=None,
        rows_total=rows,
        rows_accepted=rows,
        rows_succeeded=0,
        rows_failed=0,
        chunks_total=1,
        chunks_ended=0,
        chunks_leased=0,
        error=None,
        expires_at_ms=None,
        id_column=job.id_column,
        keep_columns=job.keep_columns,
        webhook_url=job.webhook_url,
        built_with=job.built_with,
        spec_digest=job.spec_digest,
    )


def inline_from_hash(fields: Mapping[Any, Any]) -> Inline:
    """What a raw hash holds of a job (Any: redis-py's own types, bytes here)."""
    return Inline(rows=fields.get(b"rows", b""), result=fields.get(b"result", b""))


def chunks_from_hash(fields: Mapping[Any, Any]) -> list[ChunkRecord]:
    """Chunks in the order of their rows.

    Raises RecordUnreadable, also if the record of a result is not as it was committed.
    """
    try:
        chunks = [
            msgspec.convert(msgspec.json.decode(text) | {"index": int(i)}, ChunkRecord)
            for i, text in fields.items()
        ]
    except _MALFORMED as error:
        raise RecordUnreadable(f"a chunk of the job: {error}") from None
    for chunk in chunks:
        _require_sealed(chunk)
    return sorted(chunks, key=lambda chunk: chunk.index)


def seal_of(held: Claim, ended: Ended) -> str:
    """A digest over what the ledger records of a result, so that a change of that record is found."""
    named = computed_by_name(ended.computed_by)
    return _seal(
        held.index, held.rows, ended.rows_failed, held.token, held.rows_sha256, ended.result_sha256, named
    )


def _require_sealed(chunk: ChunkRecord) -> None:
    """Raises RecordUnreadable. A record of a Takt that made no seals has none."""
    if chunk.state is not ChunkState.DONE or not chunk.seal:
        return
    recorded = (chunk.rows_sha256, chunk.result_sha256, chunk.computed_by)
    if _seal(chunk.index, chunk.rows, chunk.failed, chunk.token, *recorded) != chunk.seal:
        raise RecordUnreadable(
            f"chunk {chunk.index} of the job: its record was changed since it was committed"
        )


def _seal(*parts: object) -> str:
    return digest_of("\n".join(map(str, parts)).encode())[:16]


HEAD_FIELDS = ["created_at_ms", "state", "model", "reference", "tags"]


def job_head(job_id: str, fields: Sequence[Any]) -> JobHead:
    """The record of raw `HEAD_FIELDS` (Any: redis-py's own types, bytes here). Raises RecordUnreadable."""
    created_at_ms, state, model, reference, tags = fields
    try:
        return JobHead(
            id=job_id,
            created_at_ms=int(created_at_ms),
            state=JobState(state.decode()),
            model=model.decode(),
            reference=reference.decode(),
            tags=msgspec.json.decode(tags, type=tuple[str, ...]),
        )
    except _MALFORMED as error:
        raise RecordUnreadable(f"{type(error).__name__}: {error}") from None


def line_of(answer: Sequence[Any]) -> QueueOrder:
    """The record of a raw line (Any: Redis' own types): what cannot be read of it is left out."""
    now_ms, owners, jobs = answer
    return QueueOrder(
        now_ms=now_ms,
        jobs=tuple(_standing(*job) for job in jobs if all(_is_number(field) for field in job[3:])),
        owners=tuple(
            OwnerStanding(
                owner=owner.decode(),
                served=float(tag),
                weight=float(weight),
                jobs=count,
                at_limit=bool(at_limit),
            )
            for owner, tag, weight, count, at_limit in owners
        ),
    )


def _is_number(field: bytes | None) -> bool:
    return field is not None and field.isdigit()


def _standing(job_id: bytes, owner: bytes, served: bytes, *fields: bytes) -> QueuePosition:
    accepted, succeeded, failed, priority, chunks = map(int, fields)
    return QueuePosition(
        job_id=job_id.decode(),
        owner=owner.decode(),
        served=float(served),
        rows_left=accepted - succeeded - failed,
        priority=priority,
        chunk_rows=accepted / max(1, chunks),
    )


def job_event(entry_id: bytes, fields: Mapping[Any, Any]) -> JobEvent:
    """The record of a raw stream entry (Any: redis-py's own types, bytes here)."""
    total = fields[b"rows_total"]
    return JobEvent(
        id=entry_id.decode(),
        state=JobState(fields[b"state"].decode()),
        rows_total=int(total) if total else None,
        rows_succeeded=int(fields[b"rows_succeeded"]),
        rows_failed=int(fields[b"rows_failed"]),
    )


def webhook_attempt(entry_id: bytes, fields: Mapping[Any, Any]) -> WebhookAttempt:
    """The record of a raw stream entry (Any: redis-py's own types, bytes here)."""
    status, next_at_ms = fields[b"status"], fields[b"next_at_ms"]
    return WebhookAttempt(
        at_ms=int(entry_id.partition(b"-")[0]),
        status=int(status) if status else None,
        error=fields[b"error"].decode(),
        next_at_ms=int(next_at_ms) if next_at_ms else None,
    )
