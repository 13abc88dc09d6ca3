"""`POST /webhooks/mlflow`: events of an MLflow model registry."""

from __future__ import annotations

import re
import time
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Query, Request
from msgspec import structs
from pydantic import BaseModel, Field

from api.access.permissions import MLFLOW_SIGNATURE
from api.access.principal import REGISTRY, Caller
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from api.http.request_bodies import read_json
from shared.deployments import ALIAS
from shared.errors import InvalidInputError, UnauthorizedError
from shared.registry_events import read_event
from shared.webhook_signatures import is_signature

router = APIRouter(tags=["models"])
log = structlog.get_logger()

MOST_BYTES = 64 * 1024
MOST_AGE_S = 300
"""Largest difference between the time of a delivery and this gateway's clock."""
_DELIVERY, _TIMESTAMP = b"x-mlflow-delivery-id", b"x-mlflow-timestamp"


class EventView(BaseModel):
    state: Literal["accepted", "repeated", "ignored"] = Field(
        description="accepted: a worker pulls the version; repeated: this or a newer event was accepted "
        "before; ignored: the event is of another kind, or of another alias"
    )
    model: str | None = Field(None, description="Model of the published version")
    version: str | None = None


@router.post("/webhooks/mlflow", status_code=202, responses=of_errors(401, 403, 404, 413, 415, 422, 503))
async def receive(
    request: Request,
    gateway: GatewayState,
    caller: Caller,
    *,
    alias: Annotated[
        str | None, Query(pattern=f"^{ALIAS}$", description="Accept only events that set this alias")
    ] = None,
    deploy: Annotated[
        bool, Query(description="Deploy the version that the alias names; needs `alias`")
    ] = False,
) -> EventView:
    """Publish a version that was registered in MLflow, or that an alias was set to.

    A delivery needs the signature of a webhook of MLflow whose secret is `TAKT_MLFLOW_WEBHOOK_SECRET`, or a
    key with the role `deploy`. The version is pulled after the answer: see `GET /models/{name}/versions`.
    """
    headers = dict(request.scope["headers"])
    body = await read_json(headers, request.receive, MOST_BYTES, idle_s=gateway.settings.upload_idle_s)
    if MLFLOW_SIGNATURE in headers:
        _check_signature(gateway, headers, body)
    if deploy and alias is None:
        raise InvalidInputError("deploy=true needs alias=NAME: the alias that names the version to serve.")
    event = read_event(body)
    if event is None or (alias is not None and event.alias != alias):
        return EventView(state="ignored")
    caller.require_sight(event.model)
    if event.at_us / 1e6 > time.time() + MOST_AGE_S:  # it would outlast all events until then
        raise InvalidInputError("The timestamp of the event is in the future: correct the clock of MLflow.")
    gateway.queue.require()
    by = REGISTRY.name if MLFLOW_SIGNATURE in headers else caller.name
    added = await gateway.registry_pulls.add(structs.replace(event, by=by, deploys=deploy))
    delivery = headers.get(_DELIVERY, b"").decode("latin-1")[:64]
    log.info("registry_event", model=event.key, alias=event.alias, delivery=delivery, accepted=added)
    return EventView(state="accepted" if added else "repeated", model=event.model, version=event.version)


def _check_signature(gateway: Gateway, headers: dict[bytes, bytes], body: bytes) -> None:
    """Raises UnauthorizedError if the signature is wrong, missing parts, or too old."""
    secret = gateway.settings.mlflow_webhook_secret.get_secret_value().encode()
    delivery, at = headers.get(_DELIVERY, b""), headers.get(_TIMESTAMP, b"")
    if not secret:
        raise UnauthorizedError(
            "Signatures are not accepted: set TAKT_MLFLOW_WEBHOOK_SECRET for the gateways."
        )
    if not re.fullmatch(rb"[0-9]{1,12}", at) or not is_signature(
        headers[MLFLOW_SIGNATURE], secret, delivery.decode("latin-1"), int(at), body
    ):
        raise UnauthorizedError(
            "X-MLflow-Signature is wrong: the webhook needs the secret TAKT_MLFLOW_WEBHOOK_SECRET."
        )
    if abs(time.time() - int(at)) > MOST_AGE_S:
        raise UnauthorizedError(
            f"X-MLflow-Timestamp differs from this gateway's clock by more than {MOST_AGE_S} s."
        )
