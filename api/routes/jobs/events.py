"""`GET /jobs/{id}/events`: a job's progress as server-sent events (https://html.spec.whatwg.org, 9.2).

    snapshot   the first event: the job as `GET /jobs/{id}` shows it
    progress   state and counts, after each change
    end        the last event: the ended job

Event ids are those of the ledger's stream. So any gateway can continue after a `Last-Event-ID`, and then
sends no snapshot. Each event holds the newest state; changes between two polls are merged. The gateway polls
the newest entry of the stream twice a second with one small command. A blocking read would occupy a
connection of the pool for each client.
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

from api.access.principal import Caller
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from api.jobs.authorization import own_job
from api.jobs.job_descriptions import described
from shared.api_keys import Role
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
    "description": "An event of the stream. `data` is JSON: the whole job, or its state and counts.",
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
    caller: Caller,
    last_event_id: Annotated[str | None, Header(description="Continue after this event")] = None,
) -> Response:
    """Stream a job's progress as events: `snapshot`, `progress`, …, `end`. The stream ends with the job."""
    record = await own_job(gateway.jobs, caller, job_id)
    known = last_event_id if last_event_id and _ID.fullmatch(last_event_id) else ""
    headers = request.scope["headers"]
    parts = watched(
        gateway,
        record,
        known,
        may=lambda: gateway.access.authenticator.authenticate_optional(headers).may(Role.READ),
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
    """The encoded events of a job.

    The stream ends with the job, if the job is deleted, if this gateway shuts down, or if `may` returns False
    because the client's key was revoked or has expired.
    """
    try:
        async for part in _events(gateway, record, known, look_every_s, heartbeat_s):
            if not may():
                return
            yield part
    except (RedisError, OSError, CallerError):
        return  # the client reconnects, and continues or gets the error as a response


async def _events(
    gateway: Gateway, record: JobRecord, known: str, look_every_s: float, heartbeat_s: float
) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    if not known:
        known, record = await _begin(gateway, record)
        yield framed("snapshot", known, await _whole(gateway, record))
    sent_at_s = clock()
    while not record.state.ended and not gateway.lifecycle.leaving:
        event = await gateway.jobs.ledger.newest_event(record.id, after=known)
        if event is not None:
            known, sent_at_s = event.id, clock()
            if event.state.ended:
                record = await gateway.jobs.ledger.read(record.id)
                break
            yield framed("progress", known, _counts(event))
        elif clock() - sent_at_s >= heartbeat_s:
            sent_at_s = clock()
            record = await gateway.jobs.ledger.read(record.id)  # raises if the job was deleted
            yield HEARTBEAT
        await asyncio.sleep(look_every_s)
    if record.state.ended:
        yield framed("end", known, await _whole(gateway, record))


async def _begin(gateway: Gateway, record: JobRecord) -> tuple[str, JobRecord]:
    """The id of the newest event, and the job read after it, so that no change is missed."""
    newest = await gateway.jobs.ledger.newest_event(record.id)
    return newest.id if newest else "0-0", await gateway.jobs.ledger.read(record.id)


def framed(name: str, event_id: str, data: bytes) -> bytes:
    """Encode an event. `data` is JSON without line breaks."""
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
