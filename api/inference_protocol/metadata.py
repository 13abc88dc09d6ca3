"""A model's metadata and its configuration in Triton's form, derived from its spec."""

from __future__ import annotations

from pydantic import BaseModel, Field

from api.inference_protocol.datatypes import (
    ANY_SIZE,
    BYTES,
    datatype_of_input,
    datatype_of_output,
    row_shape_of_input,
    row_shape_of_output,
)
from shared.specs import ModelSpec

BACKEND = "takt"


class TensorMetadata(BaseModel):
    name: str
    datatype: str
    shape: list[int] = Field(description="The first dimension is the rows: -1, any number")


class ModelMetadata(BaseModel):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class TensorConfig(BaseModel):
    name: str
    data_type: str
    dims: list[int] = Field(description="The shape of a row")
    optional: bool | None = None


class DynamicBatching(BaseModel):
    """Empty: no timer forms a batch."""


class ModelConfig(BaseModel):
    """The part of Triton's ModelConfig that applies."""

    name: str
    platform: str
    backend: str
    max_batch_size: int = Field(description="The most rows of a request")
    input: list[TensorConfig]
    output: list[TensorConfig]
    dynamic_batching: DynamicBatching


def metadata_of(spec: ModelSpec, versions: list[str]) -> ModelMetadata:
    return ModelMetadata(
        name=spec.name,
        versions=versions,
        platform=platform_of(spec),
        inputs=[
            TensorMetadata(
                name=field.name,
                datatype=datatype_of_input(field),
                shape=[ANY_SIZE, *row_shape_of_input(field)],
            )
            for field in spec.inputs
        ],
        outputs=[
            TensorMetadata(
                name=output.name,
                datatype=datatype_of_output(output),
                shape=[ANY_SIZE, *row_shape_of_output(spec, output)],
            )
            for output in spec.outputs
        ],
    )


def config_of(spec: ModelSpec) -> ModelConfig:
    inputs = [
        TensorConfig(
            name=field.name,
            data_type=config_datatype(datatype_of_input(field)),
            dims=list(row_shape_of_input(field)),
            optional=field.nullable or None,
        )
        for field in spec.inputs
    ]
    outputs = [
        TensorConfig(
            name=output.name,
            data_type=config_datatype(datatype_of_output(output)),
            dims=list(row_shape_of_output(spec, output)),
        )
        for output in spec.outputs
    ]
    return ModelConfig(
        name=spec.name,
        platform=platform_of(spec),
        backend=BACKEND,
        max_batch_size=spec.limits.max_rows_per_request,
        input=inputs,
        output=outputs,
        dynamic_batching=DynamicBatching(),
    )


def platform_of(spec: ModelSpec) -> str:
    """The framework; clients only show it."""
    return f"{BACKEND}_{spec.framework.replace('-', '_')}"


def config_datatype(datatype: str) -> str:
    """The name of a datatype in Triton's configuration."""
    return f"TYPE_{'STRING' if datatype == BYTES else datatype}"
