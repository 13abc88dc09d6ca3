"""Whatever a request contains, it becomes columns or is refused with a reason; also if it is of gRPC."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.inference_protocol.datatypes import BYTES, FIXED_WIDTH
from api.inference_protocol.infer_bodies import split_body
from api.inference_protocol.infer_inputs import TensorReaders
from api.inference_protocol.infer_outputs import OutputSelection
from api.inference_protocol.infer_parameters import check_parameters
from api.inference_protocol.infer_plans import InferencePlans
from api.models.catalog import Catalog, Servable
from api.scoring.json_frames import read_json_frame
from shared.columns import wire_rows
from shared.errors import CallerError
from shared.messages import Column
from shared.repository import open_repository
from tests.unit.gateway_fakes import MODELS

CATALOG = Catalog(open_repository(MODELS), "iris")
SERVABLES = [CATALOG.find(name) for name in ("iris", "classifier", "quality")]
READERS = TensorReaders()
PLANS = InferencePlans(READERS)
NAMES = ["x", "features", *SERVABLES[0].spec.input_names, *SERVABLES[2].spec.input_names]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=5), max_leaves=12)
parameters = st.dictionaries(
    st.sampled_from(
        ["timeout", "priority", "binary_data", "binary_data_size", "classification", "sequence_id"]
    ),
    scalars | st.integers(0, 64),
    max_size=2,
)
tensors = st.fixed_dictionaries(
    {
        "name": st.sampled_from(NAMES),
        "datatype": st.sampled_from([*FIXED_WIDTH, BYTES, "FP8"]),
        "shape": st.lists(st.integers(-1, 10), max_size=3) | st.just([1, 10]) | st.just([1, 4]),
    },
    optional={"data": st.lists(values, max_size=10) | st.just([0.5] * 10), "parameters": parameters},
)
requests = st.fixed_dictionaries(
    {"inputs": st.lists(tensors, max_size=4)},
    optional={
        "id": st.text(max_size=3),
        "parameters": parameters,
        "outputs": st.lists(
            st.fixed_dictionaries({"name": st.text(max_size=3)}, optional={"parameters": parameters}),
            max_size=2,
        ),
    },
)


def accepted(servable: Servable, read: Callable[[], tuple[list[Column], int]]) -> None:
    """Columns of the declared length, or an error of the caller."""
    with suppress(CallerError):
        columns, rows = read()
        assert wire_rows(servable.spec, columns) == rows


@settings(max_examples=300)
@given(st.sampled_from(SERVABLES), requests, st.binary(max_size=64))
def test_a_random_request_is_read_or_refused(
    servable: Servable, request: dict[str, Any], data: bytes
) -> None:
    text = json.dumps(request).encode()

    def read() -> tuple[list[Column], int]:
        json_text, binary = split_body(text + data, str(len(text)).encode())
        return PLANS.of(servable, json_text, kept=True).columns(binary)

    accepted(servable, read)
    accepted(servable, read)  # by the kept plan


@given(
    st.sampled_from(SERVABLES), st.dictionaries(st.sampled_from(["inputs", "instances"]), values, max_size=1)
)
def test_a_random_invocation_is_read_or_refused(servable: Servable, body: dict[str, Any]) -> None:
    def read() -> tuple[list[Column], int]:
        found = read_json_frame(servable.spec, json.dumps(body).encode())
        valid = servable.validator.columns(found)
        return servable.encode([valid[place] for place in range(len(valid))]), len(found[0])

    accepted(servable, read)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4), st.booleans())
def test_a_mutated_message_is_read_or_refused(changes: list[tuple[int, int]], raw: bool) -> None:
    pytest.importorskip("grpc")
    from google.protobuf.message import DecodeError

    from api.rpc import inference_pb2 as pb
    from api.rpc.grpc_messages import parameters_of, requested_of, tensors_of

    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP64", shape=[1, 4])
    request = pb.ModelInferRequest(model_name="iris", inputs=[tensor], outputs=[{"name": "prediction"}])
    if raw:
        request.raw_input_contents.append(struct.pack("<4d", 5.1, 3.5, 1.4, 0.2))
    else:
        request.inputs[0].contents.fp64_contents.extend([5.1, 3.5, 1.4, 0.2])
    message = bytearray(request.SerializeToString())
    for place, value in changes:
        message[place % len(message)] = value
    try:
        mutated = pb.ModelInferRequest.FromString(bytes(message))
    except DecodeError:
        return
    servable = SERVABLES[0]

    def read() -> tuple[list[Column], int]:
        check_parameters(parameters_of(mutated.parameters))
        OutputSelection(servable.spec, requested_of(mutated), all_binary=False)
        return READERS.of(servable).read(tensors_of(mutated))

    accepted(servable, read)
