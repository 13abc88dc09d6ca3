"""The facts of an ONNX file: inputs and outputs of its graph, and the classes of a converted classifier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from shared.columns import Array
from shared.input_specs import InputType
from shared.texts import foreign_words
from worker.models.drafting.drafted_tensors import TensorInput, network_facts, row_shape
from worker.models.drafting.facts import DraftError, DraftFacts, class_outputs

_ERRORS_ONLY = 3
_ROWS = 2
_TYPES: dict[str, tuple[InputType, Any]] = {
    "tensor(float)": (InputType.FLOAT32, np.float32),
    "tensor(float16)": (InputType.FLOAT32, np.float16),
    "tensor(double)": (InputType.FLOAT, np.float64),
    "tensor(int64)": (InputType.INT64, np.int64),
    "tensor(int32)": (InputType.INT64, np.int32),
    "tensor(bool)": (InputType.BOOL, np.bool_),
    "tensor(string)": (InputType.STRING, np.object_),
}


def facts_of(path: Path) -> DraftFacts:
    """Raises DraftError if ONNX Runtime cannot open or run the file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises many types
        raise DraftError(
            f"{path.name} is no ONNX model that this onnxruntime opens ({foreign_words(error)}): export it "
            "again"
        ) from error
    places = session.get_inputs()
    inputs = [_input(one) for one in places]
    answers = _answers(session, places, inputs)
    facts = network_facts("onnx", inputs, {name: np.asarray(value) for name, value in answers.items()})
    if classes := _classes(answers):
        outputs = class_outputs(probabilities=True)
        return replace(facts, outputs=outputs, classes=classes, may_classify=None)
    return facts


def _input(one: Any) -> TensorInput:  # Any: onnxruntime has no types
    if one.type not in _TYPES:
        raise DraftError(f"the graph's input {one.name!r} is {one.type}, which rows cannot hold")
    return TensorInput(one.name, _TYPES[one.type][0], row_shape(one.shape, f"the graph's input {one.name!r}"))


def _answers(session: Any, places: Any, inputs: list[TensorInput]) -> dict[str, Array | list[Any]]:
    """The answers to made-up rows: arrays, or a dict of class probabilities for each row."""
    feed = {}
    for place, one in zip(places, inputs, strict=True):
        rows = place.shape[0] if place.shape and isinstance(place.shape[0], int) else _ROWS
        blank: Any = "text" if one.type is InputType.STRING else 1
        feed[one.name] = np.full((rows, *one.shape), blank, _TYPES[place.type][1])
    names = [output.name for output in session.get_outputs()]
    try:
        return dict(zip(names, session.run(names, feed), strict=True))
    except Exception as error:  # ONNX Runtime raises many types
        raise DraftError(f"the graph fails on a made-up row: {foreign_words(error)}") from error


def _classes(answers: dict[str, Any]) -> tuple[str, ...]:
    """The classes of a converted classifier, which answers labels and probabilities: as its maps name them,
    else their numbers."""
    if len(answers) != 2:
        return ()
    label, probabilities = answers.values()
    if isinstance(probabilities, list) and probabilities and isinstance(probabilities[0], dict):
        return tuple(map(str, probabilities[0]))
    label, probabilities = np.asarray(label), np.asarray(probabilities)
    if label.ndim != 1 or label.dtype.kind not in "iOUT" or probabilities.dtype.kind != "f":
        return ()
    wide = probabilities.ndim == 2 and probabilities.shape[1] > 1
    return tuple(map(str, range(probabilities.shape[1]))) if wide else ()
