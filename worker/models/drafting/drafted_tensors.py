"""The facts of a network or graph of tensors: their shapes, and its answer to made-up rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.columns import Array
from shared.input_specs import InputType
from shared.output_specs import OutputType, View
from shared.safe_texts import foreign_words
from worker.models.drafting.artifact_facts import (
    FLOAT32_TOLERANCE,
    DraftError,
    DraftFacts,
    DraftOutput,
    Feature,
    value_outputs,
)
from worker.models.drafting.image_inputs import image_table, made_up_image

STEPS = 16
"""Steps of a made-up sequence."""
ROWS = 2
_SUM_TOLERANCE = 1e-3
_KINDS = {"i": OutputType.INT64, "u": OutputType.INT64, "b": OutputType.BOOL, "U": OutputType.STRING}
_KINDS |= {"O": OutputType.STRING, "T": OutputType.STRING}
_TYPES = {"b": InputType.BOOL, "i": InputType.INT64, "u": InputType.INT64, "O": InputType.STRING}


@dataclass(frozen=True)
class TensorInput:
    """An input of a network. `shape`: of a row; -1 begins a sequence. `dtype`: of numpy, such as float32."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    steps: int = STEPS  # of a made-up sequence
    most_steps: int | None = None

    @property
    def type(self) -> InputType:
        if self.dtype == "float64":
            return InputType.FLOAT
        return _TYPES.get(np.dtype(self.dtype).kind, InputType.FLOAT32)

    @property
    def is_sequence(self) -> bool:
        return self.shape[:1] == (-1,)

    @property
    def is_vector(self) -> bool:
        return len(self.shape) == 1 and self.shape != (1,)

    def made_up(self, rows: int, more_steps: int = 0) -> Array:
        """An array of ones, or of a text."""
        shape = (self.steps + more_steps, *self.shape[1:]) if self.is_sequence else self.shape
        return np.full((rows, *shape), "text" if self.type is InputType.STRING else 1, self.dtype)


def row_shape(sizes: Sequence[int | None], dtype: str, place: str) -> tuple[int, ...]:
    """The shape of a row. None, any length: of a sequence if it is the first, or of the side of an image.

    Raises DraftError if other lengths vary.
    """
    if image := image_table(sizes, dtype):
        sides = image["height"], image["width"]
        return (image["channels"], *sides) if image["layout"] == "chw" else (*sides, image["channels"])
    shape = tuple(-1 if size is None else size for size in sizes)
    if -1 in shape[1:]:
        raise DraftError(
            f"{place} has the shape [{', '.join('any' if n is None else str(n) for n in sizes)}] per row: "
            "only the first length of a sequence may vary, so export it with fixed other lengths"
        )
    return shape


def probed(
    inputs: Sequence[TensorInput], run: Callable[[dict[str, Array]], dict[str, Any]], rows: int = ROWS
) -> dict[str, Any]:
    """The answers to made-up rows, by name. Raises DraftError if it fails, or answers each step."""
    answers = _run(inputs, run, rows, 0)
    if any(one.is_sequence for one in inputs):
        other = _run(inputs, run, rows, 1)
        varying = [name for name in answers if np.shape(answers[name]) != np.shape(other[name])]
        if varying:
            raise DraftError(
                f"the answer {varying[0]!r} has values for each step, and outputs have a fixed shape: export "
                "a network that answers for the whole sequence, such as its last step"
            )
    return answers


def _run(
    inputs: Sequence[TensorInput], run: Callable[[dict[str, Array]], dict[str, Any]], rows: int, more: int
) -> dict[str, Any]:
    try:
        return run({one.name: one.made_up(rows, more) for one in inputs})
    except Exception as error:  # a network may raise anything
        shapes = ", ".join(f"{one.name} {list(one.made_up(rows, more).shape)}" for one in inputs)
        raise DraftError(
            f"the network fails on made-up rows ({shapes}): {foreign_words(error)}; write model.toml by hand "
            "with the shape of the training (docs/own-model.md)"
        ) from error


def network_facts(
    framework: str,
    inputs: Sequence[TensorInput],
    answers: Mapping[str, Array],
    *,
    keeps_columns: bool = False,
    notes: tuple[str, ...] = (),
) -> DraftFacts:
    """`answers`: to two made-up rows, by the names of the outputs; a single answer needs no name.

    `keeps_columns`: whether one value per row is a tensor of one column, rather than a value. A network whose
    only input is a vector may also take the columns of a table in its place.
    """
    only = inputs[0] if len(inputs) == 1 and inputs[0].is_vector else None
    outputs, width, activation = _outputs(answers)
    features = tuple(_feature(one, keeps_columns=keeps_columns) for one in inputs)
    return DraftFacts(
        framework,
        features,
        outputs,
        count=only.shape[0] if only and not only.is_sequence else None,
        is_named=only is None,
        column_type=inputs[0].type,
        may_classify=width,
        activation=activation,
        tolerance=FLOAT32_TOLERANCE,
        notes=(*notes, *map(_image_note, filter(lambda one: one.image, features))),
    )


def _feature(one: TensorInput, *, keeps_columns: bool) -> Feature:
    """A tensor, an image, or a single value."""
    if image := image_table(one.shape, one.dtype):
        return Feature(one.name, InputType.IMAGE, image=image, typical=made_up_image(image))
    is_value = one.shape == () or (one.shape == (1,) and not keeps_columns)
    typical = one.made_up(1)[0].tolist() if one.is_sequence else None
    shape = () if is_value else one.shape
    return Feature(one.name, one.type, shape=shape, typical=typical, most_steps=one.most_steps)


def _image_note(feature: Feature) -> str:
    image = feature.image
    size = f"{image['height']} x {image['width']} x {image['channels']}"
    if image["dtype"] == "uint8":
        return f"{feature.column!r} is taken for an image of {size}, with pixels from 0 to 255"
    return (
        f"{feature.column!r} is taken for an image of {size}, with pixels from 0 to 1: set scale, mean and "
        "std in model.toml if the training used others"
    )


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
