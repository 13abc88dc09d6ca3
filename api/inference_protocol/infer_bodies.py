"""Bodies of the REST transport: JSON, optionally followed by binary tensors.

The binary tensor extension appends the binary tensors to the JSON, in the order of their inputs or outputs;
a header holds the length of the JSON (https://github.com/triton-inference-server/server/blob/main/docs/
protocol/extension_binary_data.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.json import encode

from api.inference_protocol.infer_outputs import RequestedOutput
from api.inference_protocol.infer_parameters import (
    BINARY_DATA,
    BINARY_DATA_OUTPUT,
    BINARY_DATA_SIZE,
    CLASSIFICATION,
    flag,
    refuse_shared_memory,
    whole,
)
from api.inference_protocol.wire_tensors import InputTensor, OutputTensor, of_binary, of_values
from shared.errors import InvalidInputError
from shared.safe_texts import named
from shared.tabular.json_bodies import decoded
from shared.validation_messages import of_msgspec

JSON_LENGTH = b"inference-header-content-length"
"""The header with the length of a body's JSON, in bytes."""

_Length = Annotated[int, Meta(ge=0)]


class _Input(msgspec.Struct):
    name: str
    shape: list[_Length]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | UnsetType = UNSET


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class InferenceRequest(msgspec.Struct):
    """The JSON of a request; unknown fields are ignored, as by other servers."""

    inputs: list[_Input]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[_Output] = []

    def tensors(self, binary: memoryview) -> list[InputTensor]:
        """The inputs, with those in binary form taken from the bytes after the JSON.

        Raises InvalidInputError.
        """
        found: list[InputTensor] = []
        at = 0
        for each in self.inputs:
            refuse_shared_memory(each.name, each.parameters)
            if each.data is not UNSET:
                found.append(of_values(each.name, each.datatype, each.shape, each.data))
                continue
            end = at + _binary_bytes(each)
            if end > len(binary):
                raise InvalidInputError(
                    f"Input {named(each.name)} has {end - at} bytes of binary data, but the body has only "
                    f"{len(binary) - at} bytes left for it."
                )
            found.append(of_binary(each.name, each.datatype, each.shape, binary[at:end]))
            at = end
        if at != len(binary):
            raise InvalidInputError(
                f"The body has {len(binary)} bytes after its JSON, but the inputs declare {at}."
            )
        return found

    @property
    def all_binary(self) -> bool:
        """Whether outputs are binary if the request does not list its outputs."""
        return flag(self.parameters, BINARY_DATA_OUTPUT)

    def requested(self) -> list[RequestedOutput]:
        """The outputs that the request lists. Raises InvalidInputError."""
        default = self.all_binary
        return [_requested(output, default) for output in self.outputs]


_decoder = msgspec.json.Decoder(InferenceRequest)


def _requested(output: _Output, default: bool) -> RequestedOutput:
    refuse_shared_memory(output.name, output.parameters)
    binary = flag(output.parameters, BINARY_DATA) if BINARY_DATA in output.parameters else default
    return RequestedOutput(output.name, binary, whole(output.parameters, CLASSIFICATION))


def _binary_bytes(tensor: _Input) -> int:
    if BINARY_DATA_SIZE not in tensor.parameters:
        raise InvalidInputError(
            f"Input {named(tensor.name)} has neither `data` nor the parameter `{BINARY_DATA_SIZE}`."
        )
    return whole(tensor.parameters, BINARY_DATA_SIZE)


def split_body(body: bytes, json_length: bytes | None) -> tuple[bytes, memoryview]:
    """The JSON, and the bytes after it. `json_length`: the value of that header; None: all is JSON.

    Raises InvalidInputError.
    """
    length = len(body) if json_length is None else _json_length(json_length, len(body))
    return body[:length], memoryview(body)[length:]


def _json_length(value: bytes, body_bytes: int) -> int:
    if not value.isdigit() or len(value) > 15 or int(value) > body_bytes:
        raise InvalidInputError(
            f"Inference-Header-Content-Length is {named(value.decode('latin-1'))}, but must be a number of "
            f"bytes up to the body's {body_bytes}."
        )
    return int(value)


def decoded_request(text: bytes) -> InferenceRequest:
    """The request of its JSON. Raises InvalidInputError."""
    try:
        return _decoder.decode(text)
    except RecursionError:
        raise InvalidInputError("The JSON is nested too deeply.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        if not isinstance(error, msgspec.ValidationError):
            return _converted(decoded(text))
        raise InvalidInputError(f"The request is invalid: {_sentence(str(error))}.") from None


def _converted(document: object) -> InferenceRequest:
    """A request whose JSON has NaN, which Python's clients write for missing numbers."""
    try:
        return msgspec.convert(document, InferenceRequest)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"The request is invalid: {_sentence(str(error))}.") from None


def _sentence(message: str) -> str:
    """msgspec's message in the words of JSON, with the path of the value."""
    text, _, path = message.partition(" - at `$.")
    return of_msgspec(text) + (f", at {path.rstrip('`')}" if path else "")


def written_body(
    head: Mapping[str, object], tensors: Sequence[tuple[OutputTensor, bool]]
) -> tuple[bytes, int | None]:
    """The body of a response, and the length of its JSON if binary tensors follow.

    `tensors`: each with whether it is written in binary form.
    """
    outputs: list[dict[str, object]] = []
    binary: list[bytes] = []
    for tensor, in_binary in tensors:
        about: dict[str, object] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": tensor.shape,
        }
        if in_binary:
            data = tensor.binary()
            binary.append(data)
            about["parameters"] = {BINARY_DATA_SIZE: len(data)}
        else:
            about["data"] = tensor.values()
        outputs.append(about)
    text = encode({**head, "outputs": outputs})
    return (b"".join([text, *binary]), len(text)) if binary else (text, None)
