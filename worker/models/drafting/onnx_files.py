"""The facts of an ONNX file: inputs and outputs of its graph, and the classes of a converted classifier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from shared.columns import Array
from shared.errors import ArtifactError
from worker.frameworks.onnx_sessions import open_session
from worker.models.drafting.artifact_facts import DraftError, DraftFacts, class_outputs
from worker.models.drafting.drafted_tensors import ROWS, TensorInput, network_facts, probed, row_shape

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}


def facts_of(path: Path) -> DraftFacts:
    """Raises DraftError if ONNX Runtime cannot open or run the file."""
    try:
        session = open_session(path)
    except ArtifactError as error:
        raise DraftError(error.detail) from error
    places = session.get_inputs()
    inputs = [_input(one) for one in places]
    answers = _answers(session, places, inputs)
    facts = network_facts("onnx", inputs, {name: np.asarray(value) for name, value in answers.items()})
    if classes := _classes(answers):
        outputs = class_outputs(probabilities=True)
        return replace(facts, outputs=outputs, classes=classes, may_classify=None)
    return facts


def _input(one: Any) -> TensorInput:  # Any: onnxruntime has no types
    if one.type not in _DTYPES:
        raise DraftError(f"the graph's input {one.name!r} is {one.type}, which rows cannot hold")
    dtype = _DTYPES[one.type]
    sizes = [size if isinstance(size, int) else None for size in one.shape[1:]]
    return TensorInput(one.name, dtype, row_shape(sizes, dtype, f"the graph's input {one.name!r}"))


def _answers(session: Any, places: Any, inputs: list[TensorInput]) -> dict[str, Array | list[Any]]:
    """The answers to made-up rows: arrays, or a dict of class probabilities for each row."""
    names = [output.name for output in session.get_outputs()]
    fixed = [one.shape[0] for one in places if one.shape and isinstance(one.shape[0], int)]

    def run(feed: dict[str, Array]) -> dict[str, Any]:
        return dict(zip(names, session.run(names, feed), strict=True))

    return probed(inputs, run, fixed[0] if fixed else ROWS)


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
