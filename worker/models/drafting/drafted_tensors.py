"""The facts of a network or graph of tensors: their shapes, and its answer to made-up rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.columns import Array
from shared.input_specs import InputType
from shared.output_specs import OutputType, View
from worker.models.drafting.facts import (
    FLOAT32_TOLERANCE,
    DraftError,
    DraftFacts,
    DraftOutput,
    Feature,
    value_outputs,
)

_SUM_TOLERANCE = 1e-3
_KINDS = {"i": OutputType.INT64, "u": OutputType.INT64, "b": OutputType.BOOL, "U": OutputType.STRING}
_KINDS |= {"O": OutputType.STRING, "T": OutputType.STRING}


@dataclass(frozen=True)
class TensorInput:
    """An input of a network. `shape`: of a row."""

    name: str
    type: InputType
    shape: tuple[int, ...]


def feature_of(one: TensorInput) -> Feature:
    """A tensor, or a single value if the shape is `()` or `(1,)`."""
    return Feature(one.name, one.type, shape=() if one.shape in ((), (1,)) else one.shape)


def network_facts(
    framework: str, inputs: Sequence[TensorInput], answers: Mapping[str, Array], **more: Any
) -> DraftFacts:
    """`answers`: to two made-up rows, by the names of the outputs; a single answer needs no name.

    A network whose only input is a vector may also take the columns of a table in its place.
    """
    only = inputs[0] if len(inputs) == 1 and len(inputs[0].shape) == 1 and inputs[0].shape != (1,) else None
    outputs, width, activation = _outputs(answers)
    return DraftFacts(
        framework,
        tuple(map(feature_of, inputs)),
        outputs,
        count=only.shape[0] if only else None,
        is_named=only is None,
        column_type=inputs[0].type,
        may_classify=width,
        activation=activation,
        tolerance=FLOAT32_TOLERANCE,
        **more,
    )


def row_shape(shape: Sequence[Any], place: str) -> tuple[int, ...]:
    """The shape without its first axis, the rows. Raises DraftError if another axis varies."""
    rest = tuple(shape[1:])
    if not all(isinstance(length, int) for length in rest):
        raise DraftError(
            f"{place} has the shape {list(map(str, shape))}, in which more than the number of rows varies: "
            "write model.toml by hand (docs/own-model.md)"
        )
    return rest


def _outputs(answers: Mapping[str, Array]) -> tuple[tuple[DraftOutput, ...], int | None, str]:
    """The outputs; if there is one, its width as probabilities or logits of classes, and the activation that
    makes them probabilities."""
    if len(answers) > 1:
        return tuple(_output(name, name, array) for name, array in answers.items()), None, "none"
    (array,) = answers.values()
    wide = array.ndim == 2 and array.dtype.kind == "f" and array.shape[1] > 1
    if not wide:
        return (_output("value" if array.ndim < 3 else "values", "", array),), None, "none"
    sums = np.abs(array.sum(axis=1) - 1).max() <= _SUM_TOLERANCE and array.min() >= 0
    return value_outputs(array.shape[1]), array.shape[1], "none" if sums else "softmax"


def _output(name: str, source: str, array: Array) -> DraftOutput:
    shape = array.shape[1:] if array.shape[1:] != (1,) else ()
    kind = _KINDS.get(array.dtype.kind)
    if array.ndim < 2 and not source and array.dtype.kind == "f":
        return value_outputs()[0]
    return DraftOutput(name, View.TENSOR if shape else View.VALUE, source=source, type=kind, shape=shape)
