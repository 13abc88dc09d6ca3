"""`GET /jobs`: the caller's jobs, newest first, in pages.

A page scans a bounded number of jobs, so that it is fast even if few jobs match. It may therefore hold fewer
than `limit` jobs, or none; more pages follow as long as `next` is set.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.access.principal import Caller
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from api.http.parameter_errors import require_known_parameters
from api.jobs.job_descriptions import described_all
from api.jobs.job_views import EXAMPLE, JobView, as_json
from shared.errors import InvalidInputError
from shared.input_problems import InputProblem
from shared.ledger import JobHead, JobState

router = APIRouter()

MOST_JOBS = 200
_SCANNED_AT_ONCE = 100
_MOST_SCANNED = 1000


class JobPage(BaseModel):
    """A page of the caller's jobs, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"jobs": [EXAMPLE], "next": None}]})

    jobs: list[JobView]
    next: str | None = Field(description="The `cursor` of the next page; null: this is the last page")


@dataclass(frozen=True)
class Cursor:
    """The position of the last job that was scanned."""

    created_at_ms: int
    job_id: str

    def __str__(self) -> str:
        """The cursor as clients get it, an opaque text."""
        return base64.urlsafe_b64encode(f"{self.created_at_ms}.{self.job_id}".encode()).decode().rstrip("=")


def read_cursor(text: str) -> Cursor:
    """Raises InvalidInputError."""
    try:
        padded = text + "=" * (-len(text) % 4)
        created, _, job_id = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(".")
        return Cursor(int(created), job_id)
    except (binascii.Error, ValueError):
        problem = InputProblem(
            row=None, field="cursor", loc=["query", "cursor"], msg="not a cursor", type="cursor"
        )
        raise InvalidInputError("Invalid cursor.", problems=[problem]) from None


@dataclass(frozen=True)
class Filter:
    """The conditions of a listing. A condition that is None or empty always holds."""

    states: frozenset[JobState] = frozenset()
    model: str | None = None
    reference: str | None = None
    tag: str | None = None
    search: str | None = None
    """The beginning of the id or of the reference, or a whole tag."""

    def matches(self, head: JobHead) -> bool:
        return (
            (not self.states or head.state in self.states)
            and self.model in (None, head.model)
            and self.reference in (None, head.reference)
            and (self.tag is None or self.tag in head.tags)
            and (self.search is None or _found(head, self.search.casefold()))
        )


def _found(head: JobHead, text: str) -> bool:
    names = (head.id, head.reference.casefold())
    return any(name.startswith(text) for name in names) or text in map(str.casefold, head.tags)


Moment: TypeAlias = datetime | None


@router.get(
    "/jobs",
    response_model=JobPage,
    responses=of_errors(422, 503),
    dependencies=[Depends(require_known_parameters)],
)
async def jobs(
    gateway: GatewayState,
    caller: Caller,
    *,
    state: Annotated[list[JobState], Query(description="One or more states")] = [],  # noqa: B006 - FastAPI copies it
    model: str | None = None,
    reference: Annotated[str | None, Query(description="The client's name for the job, exact match")] = None,
    tag: Annotated[str | None, Query(description="A tag of the job")] = None,
    search: Annotated[
        str | None,
        Query(max_length=200, description="Beginning of the id or the reference, or a tag; any case"),
    ] = None,
    created_after: Annotated[Moment, Query(description="RFC 3339; UTC if it has no time zone")] = None,
    created_before: Annotated[Moment, Query(description="RFC 3339; UTC if it has no time zone")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_JOBS)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the previous page")] = None,
) -> Response:
    """List your jobs, newest first. A page may hold fewer than `limit` jobs; more follow if `next` is set."""
    gateway.queue.require()
    wanted = Filter(frozenset(state), model, reference, tag, search or None)
    owner = None if caller.sees_all_jobs else caller.name
    span = Span(owner, moment_ms(created_after), moment_ms(created_before), caller.models)
    found, last = await scan(gateway, span, wanted, limit, read_cursor(cursor) if cursor else None)
    records = await gateway.jobs.ledger.read_all(found)
    page = JobPage(jobs=await described_all(gateway.jobs, records), next=str(last) if last else None)
    return as_json(page)


@dataclass(frozen=True)
class Span:
    """The range of a scan: owner, models, and creation time between both ends, exclusive. None: no limit."""

    owner: str | None
    after_ms: int | None = None
    before_ms: int | None = None
    models: frozenset[str] | None = None

    def shows(self, head: JobHead) -> bool:
        return self.models is None or head.model in self.models


async def scan(
    gateway: Gateway, span: Span, wanted: Filter, limit: int, last: Cursor | None
) -> tuple[list[str], Cursor | None]:
    """The ids of matching jobs after `last`, and the cursor to continue from; None: there are no more."""
    found: list[str] = []
    for _ in range(_MOST_SCANNED // _SCANNED_AT_ONCE):
        heads = await gateway.jobs.ledger.newest_heads(
            span.owner,
            before_ms=last.created_at_ms if last else span.before_ms,
            after_id=last.job_id if last else None,
            most=_SCANNED_AT_ONCE,
        )
        for head in heads:
            if span.after_ms is not None and head.created_at_ms <= span.after_ms:
                return found, None
            last = Cursor(head.created_at_ms, head.id)
            if span.shows(head) and wanted.matches(head):
                found.append(head.id)
            if len(found) == limit:
                return found, last
        if not heads:
            return found, None
    return found, last


def moment_ms(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)
