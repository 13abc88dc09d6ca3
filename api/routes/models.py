"""What is served: the models, their versions, who holds them, and what this gateway measured."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.access.principal import Asker
from api.gateway import Gateway
from api.http.errors import of_errors
from api.models.catalog import Servable
from api.routes.dependencies import GatewayState
from shared.errors import TaktError
from shared.specs import InputSpec, OutputSpec
from shared.validation import example_body
from shared.workers import HeldModel

router = APIRouter(tags=["models"])


class ModelSummary(BaseModel):
    name: str
    version: str = Field(description="The default version")
    versions: list[str]
    framework: str
    description: str
    loaded: bool = Field(description="Whether a live worker holds the default version")


class ModelList(BaseModel):
    models: list[ModelSummary]
    default_model: str | None = Field(description="Behind `/predict`; null where the key does not see it")


class Runtime(BaseModel):
    name: str = Field(description="`native` is the framework's own; the others are compiled from the model")
    bit_equal: bool = Field(
        description="Whether it gave the native answers, bit for bit. What did not runs nothing, unless "
        "it is within its tolerance"
    )
    compared_rows: int = Field(description="On so many rows, when the model was loaded")
    max_difference: float = Field(description="The greatest absolute difference on them")
    tolerance: float = Field(description="How far model.toml lets it be off; 0: not in a bit")
    rows_per_s: dict[int, float] = Field(description="At warm-up, by rows of a call")
    serves: list[int] = Field(description="The sizes of a call that it was chosen for: up to so many rows")


class Holder(BaseModel):
    worker: str
    device: str
    state: str
    reason: str
    rows_per_s: float
    ceiling_rows: int | None = Field(description="Most rows of a call since one ran out of memory; or null")
    runtime: str = Field(description="Which runtime runs calls of how many rows, in words")
    runtimes: list[Runtime] = Field(description="What it was chosen from")
    warnings: list[str] = Field(description="What the model's framework warned of while it was loaded")


class ModelDetail(ModelSummary):
    device: str
    inputs: list[InputSpec]
    outputs: list[OutputSpec]
    max_batch_rows: int
    max_rows_per_request: int
    example: dict[str, Any]
    built_with: dict[str, str] = Field(
        description="Library versions that made the artifact; empty where no version is built"
    )
    workers: list[Holder]
    measured: dict[str, Any] = Field(description="By this gateway since it started; durations in ms")


class ModelInfo(BaseModel):
    model_name: str
    model_version: str
    framework: str
    input_features: list[str]
    description: str


@router.get("/models")
async def list_models(gateway: GatewayState, asker: Asker) -> ModelList:
    """All models of the repository, or those that the key may see."""
    names = filter(asker.sees, gateway.catalog.names)
    models = [_summary(gateway, gateway.catalog.find(name)) for name in names]
    default = gateway.catalog.default_model
    return ModelList(models=models, default_model=default if asker.sees(default) else None)


@router.get("/models/{name}", responses=of_errors(404))
async def model(name: str, gateway: GatewayState, asker: Asker) -> ModelDetail:
    """One model in its default version."""
    return _detail(gateway, gateway.catalog.find(name, asker=asker))


@router.get("/models/{name}/versions/{version}", responses=of_errors(404))
async def model_version(name: str, version: str, gateway: GatewayState, asker: Asker) -> ModelDetail:
    """One version of one model."""
    return _detail(gateway, gateway.catalog.find(name, version, asker))


@router.get("/model-info", responses=of_errors(404))
async def model_info(gateway: GatewayState, asker: Asker) -> ModelInfo:
    """The model behind `/predict`."""
    servable = gateway.catalog.find(asker=asker)
    return ModelInfo(
        model_name=servable.spec.name,
        model_version=servable.version,
        framework=servable.spec.framework,
        input_features=servable.spec.input_names,
        description=servable.spec.description,
    )


def _summary(gateway: Gateway, servable: Servable) -> ModelSummary:
    spec = servable.spec
    return ModelSummary(
        name=spec.name,
        version=servable.version,
        versions=gateway.catalog.versions(spec.name),
        framework=spec.framework,
        description=spec.description,
        loaded=servable.key in gateway.fleet.now.held,
    )


def _detail(gateway: Gateway, servable: Servable) -> ModelDetail:
    spec = servable.spec
    return ModelDetail(
        **_summary(gateway, servable).model_dump(),
        device=spec.device,
        inputs=list(spec.inputs),
        outputs=list(spec.outputs),
        max_batch_rows=spec.batching.max_rows,
        max_rows_per_request=spec.limits.max_rows_per_request,
        example=example_body(spec),
        built_with=_built_with(gateway, servable),
        workers=_holders(gateway, servable),
        measured=servable.times.summary(),
    )


def _built_with(gateway: Gateway, servable: Servable) -> dict[str, str]:
    """By a live worker that holds the version, else by the repository's manifest."""
    for worker in gateway.fleet.now.workers:
        if worker.holds(servable.key):
            return worker.models[servable.key].built_with
    try:
        built = gateway.catalog.repository.version(servable.spec.name, servable.version)
    except TaktError:
        return {}
    return built.manifest.frameworks


def _holders(gateway: Gateway, servable: Servable) -> list[Holder]:
    return [
        _holder(worker.id, worker.device, worker.models[servable.key])
        for worker in gateway.fleet.now.workers
        if servable.key in worker.models
    ]


def _holder(worker: str, device: str, held: HeldModel) -> Holder:
    return Holder(
        worker=worker,
        device=device,
        state=held.state.value,
        reason=held.reason,
        rows_per_s=held.rows_per_s,
        ceiling_rows=held.ceiling_rows or None,
        runtime=held.runtimes.in_words(),
        warnings=list(held.warnings),
        runtimes=[Runtime(**msgspec.structs.asdict(one)) for one in held.runtimes.measured],
    )
