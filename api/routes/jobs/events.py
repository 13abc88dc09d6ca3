"""`GET /jobs/{id}/events`: a job's progress as server-sent events (https://html.spec.whatwg.org, 9.2).

    snapshot   first of all: the job as `GET /jobs/{id}` shows it
    progress   its state and counts, whenever they changed
    end        last of all: the job once it has ended

Ids are those of the ledger's stream, so that any gateway goes on after a `Last-Event-ID`, without a snapshot.
Each event is the job as it was then; those in between are left out. A watcher looks at the newest entry of
the stream twice a second: that costs one small command each time and holds no connection meanwhile, where a
blocking read would hold one of the pool for each watcher.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse
from msgspec.json import encode
from redis.exceptions import RedisError

from api.access.principal import Asker
from api.gateway import Gateway
from api.http.errors import of_errors
from api.jobs.authorization import own_job
from api.jobs.describe import described
from api.routes.dependencies import GatewayState
from shared.access import Role
from shared.errors import CallerError
from shared.ledger import JobEvent, JobRecord

router = APIRouter()

LOOK_EVERY_S = 0.5
HEARTBEAT_S = 15.0
HEARTBEAT = b": alive\n\n"
MEDIA_TYPE = "text/event-stream"
_ID = re.compile(r"\d{1,20}-\d{1,20}")
_TEXT = {"type": "string"}
_EVENT = {
    "type": "object",
    "description": "One event of the stream; `data` is JSON: the whole job, or its state and counts.",
    "properties": {"id": _TEXT, "event": _TEXT | {"enum": ["snapshot", "progress", "end"]}, "data": _TEXT},
    "required": ["id", "event", "data"],
}
_EXAMPLE = 'id: 1772352000000-0\nevent: progress\ndata: {"state":"running","rows_total":20000,…}\n\n'


@router.get(
    "/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses=of_errors(404, 410, 503)
    | {200: {"content": {MEDIA_TYPE: {"schema": _EVENT, "example": _EXAMPLE}}}},
)
async def events(
    job_id: str,
    request: Request,
    gateway: GatewayState,
    asker: Asker,
    last_event_id: Annotated[str | None, Header(description="Go on after this event")] = None,
) -> Response:
    """A job's progress as it happens: `snapshot`, `progress`, …, `end`. Ends with the job."""
    record = await own_job(gateway.jobs, asker, job_id)
    known = last_event_id if last_event_id and _ID.fullmatch(last_event_id) else ""
    headers = request.scope["headers"]
    parts = watched(
        gateway, record, known, may=lambda: gateway.access.authenticator.greet(headers).may(Role.READ)
    )
    return StreamingResponse(parts, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})


def _may_always() -> bool:
    return True


async def watched(
    gateway: Gateway,
    record: JobRecord,
    known: str = "",
    *,
    may: Callable[[], bool] = _may_always,
    look_every_s: float = LOOK_EVERY_S,
    heartbeat_s: float = HEARTBEAT_S,
) -> AsyncIterator[bytes]:
    """The events of a job until its end, until its data is gone, or until this gateway is told to stop; or
    until its watcher `may` not any more, whose key has ended."""
    try:
        async for part in _events(gateway, record, known, look_every_s, heartbeat_s):
            if not may():
                return
            yield part
    except (RedisError, OSError, CallerError):
        return  # the client comes again, and goes on or learns why not


async def _events(
    gateway: Gateway, record: JobRecord, known: str, look_every_s: float, heartbeat_s: float
) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    if not known:
        known, record = await _begin(gateway, record)
        yield framed("snapshot", known, await _whole(gateway, record))
    spoken_s = clock()
    while not record.state.ended and not gateway.lifecycle.leaving:
        event = await gateway.jobs.ledger.newest_event(record.id, after=known)
        if event is not None:
            known, spoken_s = event.id, clock()
            if event.state.ended:
                record = await gateway.jobs.ledger.read(record.id)
                break
            yield framed("progress", known, _counts(event))
        elif clock() - spoken_s >= heartbeat_s:
            spoken_s = clock()
            record = await gateway.jobs.ledger.read(record.id)  # raises where it was deleted meanwhile
            yield HEARTBEAT
        await asyncio.sleep(look_every_s)
    if record.state.ended:
        yield framed("end", known, await _whole(gateway, record))


async def _begin(gateway: Gateway, record: JobRecord) -> tuple[str, JobRecord]:
    """The newest event's id, and the job at that time or later: nothing is lost in between."""
    newest = await gateway.jobs.ledger.newest_event(record.id)
    return newest.id if newest else "0-0", await gateway.jobs.ledger.read(record.id)


def framed(name: str, event_id: str, data: bytes) -> bytes:
    """One event; `data` is JSON, which has no line breaks of its own."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (event_id.encode(), name.encode(), data)


def _counts(event: JobEvent) -> bytes:
    return encode(
        {
            "state": event.state,
            "rows_total": event.rows_total,
            "rows_succeeded": event.rows_succeeded,
            "rows_failed": event.rows_failed,
        }
    )


async def _whole(gateway: Gateway, record: JobRecord) -> bytes:
    view, _ = await described(gateway.jobs, record)
    return view.model_dump_json().encode()
