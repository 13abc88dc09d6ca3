"""Responses to a submission: 202, or 200 if the client waited until the job ended."""

from __future__ import annotations

from fastapi import Response
from pydantic import BaseModel, Field

from api.gateway import Gateway
from api.http.headers import preferred_wait_s
from api.jobs.job_descriptions import described
from api.jobs.job_views import POLL_AFTER_S, as_json
from api.jobs.prefer_wait import ended_within
from shared.ledger import JobRecord
from shared.safe_texts import MOST_NAME_CHARS, bounded
from shared.tabular.reading import ReadSummary

MOST_IGNORED = 100
"""Limit of ignored columns that a report names."""


class RowProblem(BaseModel):
    row: int
    line: int | None = Field(
        None, description="Of a CSV or NDJSON file: the line in which the row begins; the first line is 1"
    )
    reason: str


class ValidationReport(BaseModel):
    """The result of `validate_only`. No job was created."""

    valid: bool
    rows_total: int
    rows_valid: int
    rows_invalid: int
    problems: list[RowProblem]  # only the first problems
    ignored_columns: list[str]  # only the first columns
    ignored_columns_total: int = 0


def report_of(summary: ReadSummary) -> Response:
    report = ValidationReport(
        valid=not summary.rows_failed,
        rows_total=summary.rows,
        rows_valid=summary.rows - summary.rows_failed,
        rows_invalid=summary.rows_failed,
        problems=[RowProblem(row=p.row, line=p.line, reason=p.reason) for p in summary.problems],
        ignored_columns=[bounded(name, MOST_NAME_CHARS) for name in summary.ignored_columns[:MOST_IGNORED]],
        ignored_columns_total=len(summary.ignored_columns),
    )
    return Response(report.model_dump_json(), media_type="application/json")


async def acceptance(
    gateway: Gateway, record: JobRecord, prefer: bytes | None, *, replayed: bool = False
) -> Response:
    """The response for an accepted job, after the job is durable.

    Waits for the job's end as long as the `Prefer` header asks (RFC 7240), up to the limit of the settings.
    `replayed`: the job existed already for this Idempotency-Key. Raises NotDurable, QueueUnavailable.
    """
    await gateway.jobs.ledger.make_durable(record.id)
    if not replayed:
        gateway.jobs.accepted.add(record)
    asked_s = preferred_wait_s(prefer)
    headers = {"Location": f"/jobs/{record.id}"}
    if asked_s is not None:
        record, granted_s = await ended_within(gateway.jobs, record, asked_s)
        headers["Preference-Applied"] = f"wait={granted_s}"
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    view, polling = await described(gateway.jobs, record)
    if record.state.ended and (replayed or asked_s is not None):
        return as_json(view, 200, headers)
    return as_json(view, 202, headers | {"Retry-After": str(POLL_AFTER_S)} | polling)
