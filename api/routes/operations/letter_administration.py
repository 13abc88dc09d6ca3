"""Dead letters: list, show, requeue, drop."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from redis.exceptions import ResponseError

from api.access.principal import Caller
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from shared.dead_letters import AsyncDeadLetters, DeadLetter
from shared.errors import NotFoundError
from shared.requeueing import requeueing_of
from shared.safe_texts import named

router = APIRouter(tags=["operations"])
log = structlog.get_logger()

SHOWN_BYTES = 256
_ERRORS = of_errors(404, 503)


class DeadLetterView(BaseModel):
    id: str
    at: datetime
    kind: str = Field(description="`entry`, `reply`, `heartbeat`, `doorbell`, `chunk` or `job`")
    model: str = Field(description="`{model}@{version}`, or empty")
    place: str = Field(description="Where it was found")
    size_bytes: int = Field(description="Of the whole item")
    stored_bytes: int = Field(description="How much of it is stored: it can be requeued if that is all")
    reason: str


class DeadLetterList(BaseModel):
    dead_letters: list[DeadLetterView] = Field(description="The newest first")


class DeadLetterContent(DeadLetterView):
    beginning: str = Field(description=f"Its first bytes, at most {SHOWN_BYTES}, as Base64")


@router.get("/dead-letters", responses=of_errors(422, 503))
async def list_letters(
    gateway: GatewayState, limit: Annotated[int, Query(ge=1, le=1000)] = 50
) -> DeadLetterList:
    """List dead letters: unreadable messages, and chunks that failed."""
    found = await _letters(gateway).newest(limit)
    return DeadLetterList(dead_letters=[DeadLetterView(**_view(each)) for each in found])


@router.get("/dead-letters/{letter}", responses=_ERRORS)
async def show_letter(letter: str, gateway: GatewayState) -> DeadLetterContent:
    """A dead letter and its first bytes. They may hold inputs."""
    found = await _read(gateway, letter)
    beginning = b64encode(found.data[:SHOWN_BYTES]).decode()
    return DeadLetterContent(**_view(found), beginning=beginning)


@router.post(
    "/dead-letters/{letter}/requeue",
    status_code=204,
    response_class=Response,
    responses=of_errors(404, 409, 503),
)
async def requeue_letter(letter: str, gateway: GatewayState, caller: Caller) -> None:
    """Return an entry, a doorbell or a chunk to its queue."""
    found = await _read(gateway, letter)
    again = requeueing_of(found, caller.name)
    client: Any = gateway.client  # Any: redis-py left the call untyped
    again.check(await client.execute_command(*again.command))
    await _letters(gateway).drop(found)
    log.info("dead_letter_requeued", letter=found.id, by=caller.name)


@router.delete("/dead-letters/{letter}", status_code=204, response_class=Response, responses=_ERRORS)
async def drop_letter(letter: str, gateway: GatewayState, caller: Caller) -> None:
    """Delete a dead letter."""
    found = await _read(gateway, letter)
    await _letters(gateway).drop(found)
    log.info("dead_letter_dropped", letter=found.id, by=caller.name)


def _letters(gateway: Gateway) -> AsyncDeadLetters:
    gateway.queue.require()
    return AsyncDeadLetters(gateway.client)


async def _read(gateway: Gateway, letter_id: str) -> DeadLetter:
    try:
        found = await _letters(gateway).read(letter_id)
    except ResponseError:  # not the id of a stream's entry
        found = None
    if found is None:
        raise NotFoundError(f"No dead letter has the id {named(letter_id)}.")
    return found


def _view(letter: DeadLetter) -> dict[str, object]:
    return {
        "id": letter.id,
        "at": datetime.fromtimestamp(letter.at_ms / 1000, UTC),
        "kind": letter.kind.value,
        "model": letter.model,
        "place": letter.place,
        "size_bytes": letter.size_bytes,
        "stored_bytes": len(letter.data),
        "reason": letter.reason,
    }
