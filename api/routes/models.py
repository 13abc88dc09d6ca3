"""Model endpoints: models, versions, the workers that hold them, and measured latencies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.access.principal import Caller
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from api.models.catalog import Servable
from shared.errors import ServiceError
from shared.input_specs import InputSpec
from shared.output_specs import OutputSpec, OutputType, View
from shared.safe_texts import foreign_text
from shared.specs import ModelSpec
from shared.validation import example_body
from shared.worker_records import HeldModel, ModelState, WorkerRecord

router = APIRouter(tags=["models"])

ON_DEMAND = "on_demand"
"""State of a version in a worker that loads it at its first request."""


class ModelSummary(BaseModel):
    name: str
    version: str = Field(description="The default version")
    versions: list[str]
    framework: str
    description: str
    loaded: bool = Field(description="Whether a live worker has loaded the default version")
    on_demand: bool = Field(description="Whether workers load it at its first request")


class ModelList(BaseModel):
    models: list[ModelSummary]
    default_model: str | None = Field(description="The model of `/predict`; null if the key may not see it")


class Runtime(BaseModel):
    name: str = Field(
        description="`native` is the framework itself; other runtimes are compiled from the model"
    )
    bit_equal: bool = Field(
        description="Whether its results equal the native results bit for bit. A runtime with different "
        "results is used only if the difference is within `tolerance`"
    )
    compared_rows: int = Field(description="Number of rows compared when the model was loaded")
    max_difference: float = Field(description="Largest absolute difference from the native results")
    tolerance: float = Field(description="Difference that `model.toml` allows; 0: bit-equal results only")
    rows_per_s: dict[int, float] = Field(description="Throughput at warm-up, by rows per call")
    serves: list[int] = Field(description="Call sizes that this runtime serves, each an upper limit in rows")


class Holder(BaseModel):
    worker: str
    device: str
    state: str = Field(
        description="`loading`, `loaded`, `failed`, or `on_demand`: loaded at its first request"
    )
    reason: str = Field(description="Why it failed, or does not fit into the memory budget")
    rows_per_s: float
    ceiling_rows: int | None = Field(
        description="Limit of rows per call after a call ran out of memory; null: no limit"
    )
    memory_bytes: int | None = Field(
        description="Memory of the opened model, as its verifier measured it; null: not measured"
    )
    peak_bytes: int | None = Field(description="Memory of the opened model and its calls, at most")
    own_copy: str = Field(
        description="Why this worker holds a copy of its own; empty: it shares one with the other workers of "
        "its supervisor"
    )
    runtime: str = Field(description="The runtime for each call size, as text")
    runtimes: list[Runtime] = Field(description="The measured runtimes")
    warnings: list[str] = Field(description="Warnings of the framework while the model was loaded")


class OutputDetail(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)

    name: str
    view: View
    type: OutputType = Field(description="Type of the values; of each item, if the output is a list")
    shape: tuple[int, ...] = Field(description="Shape of a tensor")
    nullable: bool = Field(description="Whether a value may be null")
    round: int | None = Field(description="Decimals; null: not rounded")
    source: str = Field(alias="from", description="The answer that it shows; empty: the only one")
    method: str = Field(description="The method of the estimator that it shows; empty: its prediction")
    column: int | None = Field(description="The column of the answer that it shows; null: all")
    classes: tuple[str, ...] = Field(description="The classes of a class view, if they have names")
    description: str


class ModelDetail(ModelSummary):
    device: str
    inputs: list[InputSpec]
    outputs: list[OutputDetail]
    max_batch_rows: int
    max_rows_per_request: int
    example: dict[str, Any]
    built_with: dict[str, str] = Field(
        description="Library versions that built the artifact; empty if no version is built"
    )
    workers: list[Holder]
    measured: dict[str, Any] = Field(
        description="Measurements of the gateway process that answers, since it started; durations in ms"
    )


class ModelInfo(BaseModel):
    model_name: str
    model_version: str
    framework: str
    input_features: list[str]
    description: str


@router.get("/models")
async def list_models(gateway: GatewayState, caller: Caller) -> ModelList:
    """List the models that the key may see."""
    names = filter(caller.sees, gateway.catalog.names)
    models = [_summary(gateway, gateway.catalog.find(name)) for name in names]
    default = gateway.catalog.default_model
    return ModelList(models=models, default_model=default if caller.sees(default) else None)


@router.get("/models/{name}", responses=of_errors(404))
async def model(name: str, gateway: GatewayState, caller: Caller) -> ModelDetail:
    """Describe a model in its default version."""
    return _detail(gateway, gateway.catalog.find(name, caller=caller))


@router.get("/models/{name}/versions/{version}", responses=of_errors(404))
async def model_version(name: str, version: str, gateway: GatewayState, caller: Caller) -> ModelDetail:
    """Describe a version of a model."""
    return _detail(gateway, gateway.catalog.find(name, version, caller))


@router.get("/model-info", responses=of_errors(404))
async def model_info(gateway: GatewayState, caller: Caller) -> ModelInfo:
    """Describe the default model, which `/predict` uses."""
    servable = gateway.catalog.find(caller=caller)
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
        on_demand=servable.key in gateway.fleet.now.on_demand,
    )


def _detail(gateway: Gateway, servable: Servable) -> ModelDetail:
    spec = servable.spec
    return ModelDetail(
        **_summary(gateway, servable).model_dump(),
        device=spec.device,
        inputs=list(spec.inputs),
        outputs=[_output(spec, output) for output in spec.outputs],
        max_batch_rows=spec.batching.max_rows,
        max_rows_per_request=spec.limits.max_rows_per_request,
        example=example_body(spec),
        built_with=_built_with(gateway, servable),
        workers=list(_holders(gateway, servable)),
        measured=servable.times.summary(),
    )


def _output(spec: ModelSpec, output: OutputSpec) -> OutputDetail:
    resolved = {
        "type": output.value_type,
        "classes": spec.classes_of(output) if output.shows_classes else (),
    }
    return OutputDetail.model_validate(output.model_dump() | resolved)


def _built_with(gateway: Gateway, servable: Servable) -> dict[str, str]:
    """As reported by a live worker that holds the version, else from the repository's manifest."""
    for worker in gateway.fleet.now.workers:
        if worker.holds(servable.key):
            return worker.models[servable.key].built_with
    try:
        built = gateway.catalog.repository.version(servable.spec.name, servable.version)
    except ServiceError:
        return {}
    return built.manifest.frameworks


def _holders(gateway: Gateway, servable: Servable) -> Iterator[Holder]:
    for worker in gateway.fleet.now.workers:
        if held := worker.models.get(servable.key):
            yield _holder(worker, held, held.state.value)
        elif cold := worker.on_demand.get(servable.key):
            known = HeldModel(
                state=ModelState.LOADING,
                reason=cold.reason,
                memory_bytes=cold.memory_bytes,
                digest=cold.digest,
            )
            yield _holder(worker, known, ON_DEMAND)


def _holder(worker: WorkerRecord, held: HeldModel, state: str) -> Holder:
    return Holder(
        worker=worker.id,
        device=worker.device,
        state=state,
        reason=foreign_text(held.reason),
        rows_per_s=held.rows_per_s,
        ceiling_rows=held.ceiling_rows or None,
        memory_bytes=held.memory_bytes or None,
        peak_bytes=held.peak_bytes or None,
        own_copy=foreign_text(held.own_copy),
        runtime=held.runtimes.in_words(),
        warnings=list(map(foreign_text, held.warnings)),
        runtimes=[Runtime(**msgspec.structs.asdict(runtime)) for runtime in held.runtimes.measured],
    )
