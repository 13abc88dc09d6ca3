"""The model repository: its index. Loading and unloading are refused with a reason."""

from __future__ import annotations

from typing import Literal, NoReturn

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, ValidationError

from api.access.principal import Asker
from api.gateway import Gateway
from api.http.error_answers import of_errors
from api.http.request_bodies import read_body
from api.models.catalog import Servable
from api.routes.dependencies import GatewayState
from shared.errors import InvalidInputError

router = APIRouter()

FIXED = (
    "This protocol does not load or unload models here: PUT /models/{name}/deployment names the versions "
    "that workers load."
)


class IndexRequest(BaseModel):
    ready: bool = Field(False, description="List only model versions that are ready")


_INDEX_BODY = {
    "requestBody": {
        "required": False,
        "content": {"application/json": {"schema": IndexRequest.model_json_schema()}},
    }
}


class ModelIndex(BaseModel):
    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str


@router.post("/v2/repository/index", openapi_extra=_INDEX_BODY, responses=of_errors(408, 413, 422))
async def index(request: Request, gateway: GatewayState, asker: Asker) -> list[ModelIndex]:
    """List the model versions that the key may see, and their states."""
    only_ready = await _asks_for_ready(request, gateway)
    listed = [index_of(gateway, each) for each in gateway.catalog if asker.sees(each.spec.name)]
    return [each for each in listed if each.state == "READY" or not only_ready]


async def _asks_for_ready(request: Request, gateway: Gateway) -> bool:
    """Read the body, which is optional. Triton's client declares no Content-Type."""
    settings = gateway.settings
    body = await read_body(
        dict(request.scope["headers"]),
        request.receive,
        settings.max_body_bytes,
        idle_s=settings.upload_idle_s,
    )
    try:
        return bool(body) and IndexRequest.model_validate_json(body).ready
    except ValidationError:
        raise InvalidInputError('The body must be empty, or {"ready": true} or {"ready": false}.') from None


@router.post("/v2/repository/models/{model}/load", status_code=400, responses=of_errors(404))
async def load(model: str, gateway: GatewayState, asker: Asker) -> None:
    """Refused: models are loaded when workers start."""
    _refuse(gateway, model, asker)


@router.post("/v2/repository/models/{model}/unload", status_code=400, responses=of_errors(404))
async def unload(model: str, gateway: GatewayState, asker: Asker) -> None:
    """Refused: workers keep their models."""
    _refuse(gateway, model, asker)


def _refuse(gateway: Gateway, model: str, asker: Asker) -> NoReturn:
    gateway.catalog.find(model, None, asker)
    raise InvalidInputError(FIXED)


def index_of(gateway: Gateway, servable: Servable) -> ModelIndex:
    """The state of a model version."""
    name, version = servable.spec.name, servable.version
    if gateway.serves(servable.key):
        return ModelIndex(name=name, version=version, state="READY", reason="")
    availability = gateway.fleet.now.availability(servable.key)
    if availability.loading:
        return ModelIndex(name=name, version=version, state="LOADING", reason="")
    reason = availability.failure or "No live worker holds it."
    return ModelIndex(name=name, version=version, state="UNAVAILABLE", reason=reason)
