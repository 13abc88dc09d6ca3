"""The columns of an answer → the tensors of a response, with the classification extension.

The extension replaces an output of numbers by texts `score:index` or `score:index:label`, the highest scores
first (https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_classification.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from api.inference_protocol.datatypes import BYTES, FIXED_WIDTH, datatype_of_output
from api.inference_protocol.wire_tensors import OutputTensor
from shared.errors import InvalidInputError
from shared.field_names import composed
from shared.messages import AnswerColumn, OutputColumn
from shared.output_columns import OutputDtypes, output_dtypes
from shared.output_specs import OutputSpec
from shared.safe_texts import did_you_mean, listed, named
from shared.specs import ModelSpec


class RequestedOutput(msgspec.Struct, frozen=True):
    """An output that a request asks for."""

    name: str
    binary: bool = False
    classes: int = 0
    """Number of classes of the classification extension; 0: the output itself."""


class OutputSelection:
    """The outputs of a response. Made before the rows are sent: a wrong name costs no prediction."""

    def __init__(self, spec: ModelSpec, requested: Sequence[RequestedOutput], *, all_binary: bool) -> None:
        """`requested`: empty for all outputs, in binary form if `all_binary`.

        Raises InvalidInputError if an output does not exist or has no classes.
        """
        names = [output.name for output in spec.outputs]
        asked = requested or [RequestedOutput(name, all_binary) for name in names]
        self._spec = spec
        self._chosen = [(_place(names, output.name), output) for output in asked]
        for place, output in self._chosen:
            if output.classes and datatype_of_output(spec.outputs[place]) == BYTES:
                raise InvalidInputError(
                    f"Output {named(output.name)} has no scores: `classification` needs an output of numbers."
                )

    @property
    def dtypes(self) -> OutputDtypes:
        """The binary form of the outputs, if workers may answer in it; otherwise empty.

        Their plain values are needed for JSON, in which float32 has few digits, and for classification.
        """
        in_binary = all(asked.binary and not asked.classes for _, asked in self._chosen)
        return output_dtypes(self._spec) if in_binary else ()

    def tensors(self, columns: Sequence[AnswerColumn], rows: int) -> list[tuple[OutputTensor, bool]]:
        """The tensors of an answer, and whether each is requested in binary form."""
        return [
            (self._tensor(self._spec.outputs[place], columns[place], rows, asked), asked.binary)
            for place, asked in self._chosen
        ]

    def _tensor(
        self, output: OutputSpec, column: AnswerColumn, rows: int, asked: RequestedOutput
    ) -> OutputTensor:
        if isinstance(column, bytes):
            return binary_tensor(output, column, rows)
        tensor = tensor_of(output, column)
        if not asked.classes:
            return tensor
        return classified(tensor, asked.classes, output.classes or self._spec.classes)


def tensor_of(output: OutputSpec, column: OutputColumn) -> OutputTensor:
    """The tensor of an output: `[rows, 1]` for single values, otherwise `[rows, …]`."""
    datatype = datatype_of_output(output)
    if not isinstance(column[0], list):
        return OutputTensor(output.name, datatype, (len(column), 1), column)
    array = np.asarray(column, dtype=FIXED_WIDTH.get(datatype, np.object_))
    values = array.ravel()
    return OutputTensor(output.name, datatype, array.shape, values.tolist() if datatype == BYTES else values)


def binary_tensor(output: OutputSpec, column: bytes, rows: int) -> OutputTensor:
    """The tensor of an output in binary form (`shared/output_columns.py`)."""
    datatype = datatype_of_output(output)
    values = len(column) // (rows * FIXED_WIDTH[datatype].itemsize)
    return OutputTensor(output.name, datatype, (rows, *(output.shape or (values,))), column)


def classified(tensor: OutputTensor, count: int, labels: Sequence[str]) -> OutputTensor:
    """The `count` highest scores of each row, as texts."""
    scores = np.asarray(tensor.data, dtype=np.float64).reshape(tensor.shape[0], -1)
    count = min(count, scores.shape[1])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    texts = [
        _class_text(scores[row, index], index, labels)
        for row, indices in enumerate(order.tolist())
        for index in indices
    ]
    return OutputTensor(tensor.name, BYTES, (tensor.shape[0], count), texts)


def _class_text(score: Any, index: int, labels: Sequence[str]) -> str:
    text = f"{score:f}:{index}"
    return f"{text}:{labels[index]}" if index < len(labels) else text


def _place(names: Sequence[str], name: str) -> int:
    try:
        return names.index(composed(name))
    except ValueError:
        near = did_you_mean(name, names)
        raise InvalidInputError(
            f"This model has no output {named(name)}. Outputs: {listed(names)}.{near}"
        ) from None
