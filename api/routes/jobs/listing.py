"""`GET /jobs`: one's own jobs, newest first, page by page.

A page looks at a bounded number of jobs, so that it is quick however rare the matching ones are: it may hold
fewer than `limit`, or none, and there are more as long as it has `next`.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.access.principal import Asker
from api.gateway import Gateway
from api.http.errors import of_errors
from api.jobs.describe import described_all
from api.jobs.views import EXAMPLE, JobView, as_json
from api.routes.dependencies import GatewayState
from shared.errors import InvalidInput, Problem
from shared.ledger import JobHead, JobState

router = APIRouter()

MOST_JOBS = 200
_SCANNED_AT_ONCE = 100
_MOST_SCANNED = 1000


class JobPage(BaseModel):
    """Some of one's jobs, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"jobs": [EXAMPLE], "next": None}]})

    jobs: list[JobView]
    next: str | None = Field(description="The `cursor` of the page after this; null: this was the last")


@dataclass(frozen=True)
class Cursor:
    """The last job that was looked at."""

    created_at_ms: int
    job_id: str

    def __str__(self) -> str:
        """Opaque to clients."""
        return base64.urlsafe_b64encode(f"{self.created_at_ms}.{self.job_id}".encode()).decode().rstrip("=")


def read_cursor(text: str) -> Cursor:
    """Raises InvalidInput."""
    try:
        padded = text + "=" * (-len(text) % 4)
        created, _, job_id = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(".")
        return Cursor(int(created), job_id)
    except (binascii.Error, ValueError):
        problem = Problem(
            row=None, field="cursor", loc=["query", "cursor"], msg="not a cursor", type="cursor"
        )
        raise InvalidInput("This is not a cursor of ours.", problems=[problem]) from None


@dataclass(frozen=True)
class Filter:
    """Which jobs are asked for; what is None is not looked at."""

    states: frozenset[JobState] = frozenset()  # any, where it is empty
    model: str | None = None
    reference: str | None = None
    tag: str | None = None

    def matches(self, head: JobHead) -> bool:
        return (
            (not self.states or head.state in self.states)
            and self.model in (None, head.model)
            and self.reference in (None, head.reference)
            and (self.tag is None or self.tag in head.tags)
        )


Moment: TypeAlias = datetime | None


@router.get("/jobs", response_model=JobPage, responses=of_errors(422, 503))
async def jobs(
    gateway: GatewayState,
    asker: Asker,
    *,
    state: Annotated[list[JobState], Query(description="One or several")] = [],  # noqa: B006 - FastAPI copies it
    model: str | None = None,
    reference: Annotated[str | None, Query(description="The client's own name, whole")] = None,
    tag: Annotated[str | None, Query(description="One of the job's tags")] = None,
    created_after: Annotated[Moment, Query(description="RFC 3339; UTC where no zone is named")] = None,
    created_before: Annotated[Moment, Query(description="RFC 3339; UTC where no zone is named")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_JOBS)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> Response:
    """One's own jobs, newest first. A page may be short: there are more as long as it has `next`."""
    gateway.queue.require()
    asked = Filter(frozenset(state), model, reference, tag)
    owner = None if asker.sees_all_jobs else asker.name
    span = Span(owner, _ms(created_after), _ms(created_before), asker.models)
    found, last = await scan(gateway, span, asked, limit, read_cursor(cursor) if cursor else None)
    records = await gateway.jobs.ledger.read_all(found)
    page = JobPage(jobs=await described_all(gateway.jobs, records), next=str(last) if last else None)
    return as_json(page)


@dataclass(frozen=True)
class Span:
    """Whose jobs, of which models, and from when: both ends are left out. None: all."""

    owner: str | None
    after_ms: int | None = None
    before_ms: int | None = None
    models: frozenset[str] | None = None

    def shows(self, head: JobHead) -> bool:
        return self.models is None or head.model in self.models


async def scan(
    gateway: Gateway, span: Span, asked: Filter, limit: int, last: Cursor | None
) -> tuple[list[str], Cursor | None]:
    """Matching jobs' ids that come after `last`, and where to go on; None: there are no more."""
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
            if span.shows(head) and asked.matches(head):
                found.append(head.id)
            if len(found) == limit:
                return found, last
        if not heads:
            return found, None
    return found, last


def _ms(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)
