"""Conversion of records to the fields of Redis hashes, and of raw answers to records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from shared.dead_letters import LetterKind, Unreadable
from shared.errors import JobExpiredError, JobNotFoundError, RecordUnreadableError
from shared.integrity import digest_of
from shared.ledger.records import (
    COMPUTED_BY,
    SCHEMA,
    UPLOAD_SCHEMA,
    ChunkRecord,
    ChunkState,
    Claim,
    Ended,
    Inline,
    JobEvent,
    JobHead,
    JobRecord,
    JobState,
    NewJob,
    OwnerStanding,
    QueueOrder,
    QueuePosition,
    WebhookAttempt,
    computed_by_name,
)

_TOMBSTONE = b"expired"
_MALFORMED = (KeyError, TypeError, ValueError, RecursionError, msgspec.MsgspecError)


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
    if job.replay_of:
        record["replay_of"] = job.replay_of
    if job.retry_of:
        record["retry_of"] = job.retry_of
    if job.built_with:
        record["built_with"] = msgspec.json.encode(job.built_with).decode()
    return [part for item in record.items() for part in item]


def _text(names: tuple[str, ...]) -> str:
    return msgspec.json.encode(names).decode()


def job_from_hash(job_id: str, fields: Mapping[Any, Any]) -> JobRecord:
    """The record of a raw hash (Any: redis-py's own types, bytes here).

    Raises JobNotFoundError if the hash is empty, JobExpiredError if it is a tombstone, and
    RecordUnreadableError.
    """
    if not fields:
        raise JobNotFoundError(f"There is no job {job_id!r}.")
    if fields.get(b"state") == _TOMBSTONE:
        gone = f"Job {job_id!r} was here; its retention is over and its data is gone."
        raise JobExpiredError(gone, owner=fields.get(b"owner", b"").decode())
    try:
        schema = int(fields.get(b"schema", SCHEMA))
        if schema > SCHEMA:
            raise RecordUnreadableError(f"schema version {schema}; up to {SCHEMA} is read here")
        return _job_record(fields)
    except _MALFORMED as error:
        raise RecordUnreadableError(f"{type(error).__name__}: {error}") from None


def unreadable_job(
    job_id: str, fields: Mapping[Any, Any] | Sequence[Any], error: RecordUnreadableError
) -> Unreadable:
    """A raw hash, or some of its fields, as a dead letter."""
    return Unreadable(kind=LetterKind.JOB, place=job_id, reason=error.detail, data=repr(fields).encode())


def _job_record(fields: Mapping[Any, Any]) -> JobRecord:
    values: dict[str, object] = {name.decode(): value.decode() for name, value in fields.items()}
    for name in ("tags", "keep_columns"):
        values[name] = msgspec.json.decode(fields.get(name.encode(), b"[]"))
    values["timeline"] = msgspec.json.decode(fields.get(b"timeline", b"[]"))
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
    """The record of a complete job that was just submitted, equal to the record in the ledger."""
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
        replay_of=job.replay_of,
        retry_of=job.retry_of,
    )


def inline_from_hash(fields: Mapping[Any, Any]) -> Inline:
    """The inline objects of a raw hash (Any: redis-py's own types, bytes here)."""
    return Inline(rows=fields.get(b"rows", b""), result=fields.get(b"result", b""))


def chunks_from_hash(fields: Mapping[Any, Any]) -> list[ChunkRecord]:
    """Chunks in the order of their rows.

    Raises RecordUnreadableError, also if the record of a result was changed after the commit.
    """
    try:
        chunks = [
            msgspec.convert(msgspec.json.decode(text) | {"index": int(i)}, ChunkRecord)
            for i, text in fields.items()
        ]
    except _MALFORMED as error:
        raise RecordUnreadableError(f"a chunk of the job: {error}") from None
    for chunk in chunks:
        _require_sealed(chunk)
    return sorted(chunks, key=lambda chunk: chunk.index)


def seal_of(held: Claim, ended: Ended) -> str:
    """A digest over the recorded fields of a result, which reveals changes of the record."""
    named = computed_by_name(ended.computed_by)
    return _seal(
        held.index, held.rows, ended.rows_failed, held.token, held.rows_digest, ended.result_digest, named
    )


def _require_sealed(chunk: ChunkRecord) -> None:
    """Raises RecordUnreadableError. Records of an older Takt have no seal and are not checked."""
    if chunk.state is not ChunkState.DONE or not chunk.seal:
        return
    recorded = (chunk.rows_digest, chunk.result_digest, chunk.computed_by)
    if _seal(chunk.index, chunk.rows, chunk.failed, chunk.token, *recorded) != chunk.seal:
        raise RecordUnreadableError(
            f"chunk {chunk.index} of the job: its record was changed since it was committed"
        )


def _seal(*parts: object) -> str:
    return digest_of("\n".join(map(str, parts)).encode())[:16]


HEAD_FIELDS = ["created_at_ms", "state", "model", "reference", "tags"]


def job_head(job_id: str, fields: Sequence[Any]) -> JobHead:
    """The record of raw `HEAD_FIELDS` (Any: redis-py's own types, bytes here). Raises
    RecordUnreadableError."""
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
        raise RecordUnreadableError(f"{type(error).__name__}: {error}") from None


def line_of(answer: Sequence[Any]) -> QueueOrder:
    """The record of a raw queue (Any: Redis' own types); unreadable jobs are left out."""
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
