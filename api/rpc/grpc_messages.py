"""Messages of the protocol → tensors, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from api.inference_protocol.datatypes import BOOL, BYTES, FIXED_WIDTH
from api.inference_protocol.infer_outputs import RequestedOutput
from api.inference_protocol.infer_parameters import CLASSIFICATION, refuse_shared_memory, whole
from api.inference_protocol.metadata import ModelConfig, ModelMetadata, TensorConfig, TensorMetadata
from api.inference_protocol.statistics import ModelStatistics
from api.inference_protocol.wire_tensors import InputTensor, OutputTensor, of_binary, of_elements
from api.rpc import inference_pb2 as pb
from shared.errors import InvalidInputError
from shared.safe_texts import named

_CONTENTS: Mapping[str, tuple[str, str | None]] = {
    BOOL: ("bool_contents", "|u1"),
    "INT8": ("int_contents", "<i4"),
    "INT16": ("int_contents", "<i4"),
    "INT32": ("int_contents", "<i4"),
    "INT64": ("int64_contents", "<i8"),
    "UINT8": ("uint_contents", "<u4"),
    "UINT16": ("uint_contents", "<u4"),
    "UINT32": ("uint_contents", "<u4"),
    "UINT64": ("uint64_contents", "<u8"),
    "FP32": ("fp32_contents", "<f4"),
    "FP64": ("fp64_contents", "<f8"),
    BYTES: ("bytes_contents", None),
}
"""By datatype: the field of typed contents, and the type of its numbers."""


def parameters_of(
    message: Mapping[str, pb.InferParameter] | Mapping[str, pb.ModelRepositoryParameter],
) -> dict[str, object]:
    """The values of parameters by name."""
    return {
        name: getattr(value, value.WhichOneof("parameter_choice") or "string_param")
        for name, value in message.items()
    }


def tensors_of(request: pb.ModelInferRequest) -> list[InputTensor]:
    """The inputs of a request, from raw or typed contents. Raises InvalidInputError."""
    raw = request.raw_input_contents
    if not raw:
        return [_of_contents(each) for each in request.inputs]
    if len(raw) != len(request.inputs) or any(each.HasField("contents") for each in request.inputs):
        raise InvalidInputError(
            f"The request has {len(request.inputs)} inputs and {len(raw)} raw contents: send raw contents "
            "for all inputs, or for none."
        )
    return [
        of_binary(each.name, each.datatype, each.shape, data)
        for each, data in zip(_plain(request.inputs), raw, strict=True)
    ]


def _plain(inputs: Iterable[Any]) -> Iterable[Any]:
    """The inputs, none of them in shared memory."""
    for each in inputs:
        if each.parameters:
            refuse_shared_memory(each.name, each.parameters)
        yield each


def _of_contents(tensor: pb.ModelInferRequest.InferInputTensor) -> InputTensor:
    refuse_shared_memory(tensor.name, tensor.parameters)
    if tensor.datatype not in _CONTENTS:
        raise InvalidInputError(
            f"Input {named(tensor.name)}: {named(tensor.datatype)} has no typed contents; send raw contents."
        )
    field, dtype = _CONTENTS[tensor.datatype]
    contents = getattr(tensor.contents, field)
    data = list(contents) if dtype is None else np.array(contents, dtype=dtype)
    return of_elements(tensor.name, tensor.datatype, tensor.shape, data)


def is_raw(request: pb.ModelInferRequest) -> bool:
    """Whether the contents of the request, and therefore those of its response, are raw."""
    return bool(request.raw_input_contents)


def requested_of(request: pb.ModelInferRequest) -> list[RequestedOutput]:
    """The outputs that a request lists. Raises InvalidInputError."""
    found = []
    for output in request.outputs:
        parameters = parameters_of(output.parameters)
        refuse_shared_memory(output.name, parameters)
        classes = whole(parameters, CLASSIFICATION)
        found.append(RequestedOutput(output.name, is_raw(request), classes))
    return found


def response_of(
    name: str, version: str, request: pb.ModelInferRequest, tensors: Sequence[OutputTensor]
) -> pb.ModelInferResponse:
    """The response; its contents are raw if those of the request are."""
    response = pb.ModelInferResponse(model_name=name, model_version=version, id=request.id)
    for tensor in tensors:
        output = response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if is_raw(request):
            response.raw_output_contents.append(tensor.binary())
        else:
            _fill(output.contents, tensor)
    return response


def _fill(contents: pb.InferTensorContents, tensor: OutputTensor) -> None:
    field, dtype = _CONTENTS[tensor.datatype]
    into = getattr(contents, field)
    if dtype is None:
        into.extend((text or "").encode() for text in tensor.values())
    else:
        into.extend(np.asarray(tensor.data, dtype=FIXED_WIDTH[tensor.datatype]).tolist())


def metadata_response(found: ModelMetadata) -> pb.ModelMetadataResponse:
    return pb.ModelMetadataResponse(
        name=found.name,
        versions=found.versions,
        platform=found.platform,
        inputs=map(_metadata, found.inputs),
        outputs=map(_metadata, found.outputs),
    )


def _metadata(found: TensorMetadata) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(
        name=found.name, datatype=found.datatype, shape=found.shape
    )


def config_response(found: ModelConfig) -> pb.ModelConfigResponse:
    config = pb.ModelConfig(
        name=found.name,
        platform=found.platform,
        backend=found.backend,
        max_batch_size=found.max_batch_size,
        input=[_config(pb.ModelInput, each, optional=bool(each.optional)) for each in found.input],
        output=[_config(pb.ModelOutput, each) for each in found.output],
        dynamic_batching=pb.ModelDynamicBatching(),
    )
    return pb.ModelConfigResponse(config=config)


def _config(make: Callable[..., Any], found: TensorConfig, **more: bool) -> Any:  # Any: of either message
    return make(name=found.name, data_type=pb.DataType.Value(found.data_type), dims=found.dims, **more)


def statistics_response(found: Iterable[ModelStatistics]) -> pb.ModelStatisticsResponse:
    return pb.ModelStatisticsResponse(model_stats=map(_statistics, found))


def _statistics(found: ModelStatistics) -> pb.ModelStatistics:
    durations = {
        name: pb.StatisticDuration(**value) for name, value in found.inference_stats.model_dump().items()
    }
    return pb.ModelStatistics(
        name=found.name,
        version=found.version,
        last_inference=found.last_inference,
        inference_count=found.inference_count,
        execution_count=found.execution_count,
        inference_stats=pb.InferStatistics(**durations),
    )
