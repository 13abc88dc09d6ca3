"""Metadata, configuration, readiness and statistics of models."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from api.access.principal import Caller, Principal
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from api.inference_protocol.metadata import ModelConfig, ModelMetadata, config_of, metadata_of
from api.inference_protocol.statistics import ModelStatistics, statistics_of
from api.models.catalog import Servable

router = APIRouter()
_NOT_FOUND = of_errors(404)


class ModelReady(BaseModel):
    name: str
    version: str
    ready: bool


class StatisticsList(BaseModel):
    model_stats: list[ModelStatistics]


_NOT_READY: dict[int | str, dict[str, object]] = {503: {"model": ModelReady}}


@router.get("/v2/models/stats")
async def all_statistics(gateway: GatewayState, caller: Caller) -> StatisticsList:
    """Statistics of all model versions that the key may see, as measured by this gateway."""
    found = [statistics_of(servable) for servable in gateway.catalog if caller.sees(servable.spec.name)]
    return StatisticsList(model_stats=found)


@router.get("/v2/models/{model}", responses=_NOT_FOUND)
async def model_metadata(model: str, gateway: GatewayState, caller: Caller) -> ModelMetadata:
    """Inputs and outputs of a model."""
    return _metadata(gateway, gateway.catalog.find(model, None, caller))


@router.get("/v2/models/{model}/versions/{version}", responses=_NOT_FOUND)
async def version_metadata(model: str, version: str, gateway: GatewayState, caller: Caller) -> ModelMetadata:
    """Inputs and outputs of a model version."""
    return _metadata(gateway, gateway.catalog.find(model, version, caller))


@router.get("/v2/models/{model}/config", response_model_exclude_none=True, responses=_NOT_FOUND)
async def model_config(model: str, gateway: GatewayState, caller: Caller) -> ModelConfig:
    """The configuration of a model in Triton's form."""
    return config_of(gateway.catalog.find(model, None, caller).spec)


@router.get(
    "/v2/models/{model}/versions/{version}/config", response_model_exclude_none=True, responses=_NOT_FOUND
)
async def version_config(model: str, version: str, gateway: GatewayState, caller: Caller) -> ModelConfig:
    """The configuration of a model version in Triton's form."""
    return config_of(gateway.catalog.find(model, version, caller).spec)


@router.get("/v2/models/{model}/ready", responses=_NOT_READY | _NOT_FOUND)
async def model_ready(model: str, gateway: GatewayState, caller: Caller, response: Response) -> ModelReady:
    """Whether a live worker holds the default version of a model."""
    return _ready(gateway, model, None, caller, response)


@router.get("/v2/models/{model}/versions/{version}/ready", responses=_NOT_READY | _NOT_FOUND)
async def version_ready(
    model: str, version: str, gateway: GatewayState, caller: Caller, response: Response
) -> ModelReady:
    """Whether a live worker holds a model version."""
    return _ready(gateway, model, version, caller, response)


@router.get("/v2/models/{model}/stats", responses=_NOT_FOUND)
async def model_statistics(model: str, gateway: GatewayState, caller: Caller) -> StatisticsList:
    """Statistics of all versions of a model, as measured by this gateway."""
    gateway.catalog.find(model, None, caller)
    found = [statistics_of(servable) for servable in gateway.catalog if servable.spec.name == model]
    return StatisticsList(model_stats=found)


@router.get("/v2/models/{model}/versions/{version}/stats", responses=_NOT_FOUND)
async def version_statistics(
    model: str, version: str, gateway: GatewayState, caller: Caller
) -> StatisticsList:
    """Statistics of a model version, as measured by this gateway."""
    return StatisticsList(model_stats=[statistics_of(gateway.catalog.find(model, version, caller))])


def _metadata(gateway: Gateway, servable: Servable) -> ModelMetadata:
    return metadata_of(servable.spec, gateway.catalog.versions(servable.spec.name))


def _ready(
    gateway: Gateway, model: str, version: str | None, caller: Principal, response: Response
) -> ModelReady:
    servable = gateway.catalog.find(model, version, caller)
    ready = gateway.serves(servable.key)
    response.status_code = 200 if ready else 503
    return ModelReady(name=servable.spec.name, version=servable.version, ready=ready)
