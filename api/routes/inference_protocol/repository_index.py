"""The model repository: its index, and loading and unloading of models."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, ValidationError

from api.access.principal import Caller
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from api.http.request_bodies import read_body
from api.models.catalog import Servable
from api.routes.inference_protocol.repository_models import load, unload, version_of
from shared.errors import InvalidInputError

router = APIRouter()
T = TypeVar("T", bound=BaseModel)


class IndexRequest(BaseModel):
    ready: bool = Field(False, description="List only model versions that are ready")


class RepositoryRequest(BaseModel):
    parameters: dict[str, Any] = Field({}, description="`version`: the version; without it, as documented")


def _optional(body: type[BaseModel]) -> dict[str, Any]:
    """The declaration of a body that may be left out. Triton's client declares no Content-Type."""
    content = {"application/json": {"schema": body.model_json_schema()}}
    return {"requestBody": {"required": False, "content": content}}


class ModelIndex(BaseModel):
    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str


@router.post(
    "/v2/repository/index", openapi_extra=_optional(IndexRequest), responses=of_errors(408, 413, 422)
)
async def index(request: Request, gateway: GatewayState, caller: Caller) -> list[ModelIndex]:
    """List the model versions that the key may see, and their states."""
    only_ready = (await _read(request, gateway, IndexRequest, '{"ready": true}')).ready
    listed = [index_of(gateway, each) for each in gateway.catalog if caller.sees(each.spec.name)]
    return [each for each in listed if each.state == "READY" or not only_ready]


@router.post(
    "/v2/repository/models/{model}/load",
    openapi_extra=_optional(RepositoryRequest),
    response_class=Response,
    responses=of_errors(404, 408, 409, 413, 422, 503),
)
async def load_model(model: str, request: Request, gateway: GatewayState, caller: Caller) -> Response:
    """Make workers load a model, and wait until a worker holds it."""
    asked = await _read(request, gateway, RepositoryRequest, '{"parameters": {"version": "1.0.0"}}')
    await load(gateway, model, version_of(asked.parameters), caller)
    return Response()


@router.post(
    "/v2/repository/models/{model}/unload",
    openapi_extra=_optional(RepositoryRequest),
    response_class=Response,
    responses=of_errors(404, 408, 409, 413, 422, 503),
)
async def unload_model(model: str, request: Request, gateway: GatewayState, caller: Caller) -> Response:
    """Have workers drop a model, and wait until none of them holds it."""
    asked = await _read(request, gateway, RepositoryRequest, '{"parameters": {"version": "1.0.0"}}')
    await unload(gateway, model, version_of(asked.parameters), caller)
    return Response()


async def _read(request: Request, gateway: Gateway, kind: type[T], example: str) -> T:
    """Read the body, which is optional. Raises InvalidInputError."""
    settings = gateway.settings
    body = await read_body(
        dict(request.scope["headers"]),
        request.receive,
        settings.max_body_bytes,
        idle_s=settings.upload_idle_s,
    )
    try:
        return kind.model_validate_json(body) if body else kind()
    except ValidationError:
        raise InvalidInputError(f"The body must be empty, or like {example}.") from None


def index_of(gateway: Gateway, servable: Servable) -> ModelIndex:
    """The state of a model version."""
    name, version = servable.spec.name, servable.version
    if gateway.serves(servable.key):
        return ModelIndex(name=name, version=version, state="READY", reason="")
    if gateway.is_unloaded(name):
        return ModelIndex(name=name, version=version, state="UNAVAILABLE", reason="unloaded")
    availability = gateway.fleet.now.availability(servable.key)
    if availability.loading:
        return ModelIndex(name=name, version=version, state="LOADING", reason="")
    reason = availability.failure or "No live worker holds it."
    return ModelIndex(name=name, version=version, state="UNAVAILABLE", reason=reason)
