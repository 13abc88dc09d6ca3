"""ONNX: a graph that ONNX Runtime computes. Inputs and outputs are read from the file.

A graph with one input of rank 2 takes all features side by side; a graph with several takes each by name.
Outputs are answers by their names in the graph.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.columns import Array, Columns, row_count
from shared.errors import ArtifactError
from shared.frameworks import NetworkActivation
from shared.frameworks.builtin import OnnxOptions
from shared.input_specs import InputSpec
from shared.safe_texts import first_of
from shared.specs import ModelSpec
from worker.frameworks.onnx_sessions import CPU, CUDA, open_session
from worker.predictors.answer_selection import MAIN, NamedAnswers, RawAnswer
from worker.predictors.base import ModelRuntime
from worker.predictors.implementation import MadeBy, ModelFiles
from worker.predictors.onnx_header import NotOnnxError, read_header

_DTYPES: dict[str, npt.DTypeLike] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


def load(spec: ModelSpec, files: ModelFiles, device: str, threads: int) -> ModelRuntime:
    """Raises ArtifactError if the file is no graph, or does not fit the spec."""
    return _Graph(spec, open_session(files.artifact, _providers(spec, device), threads))


def made_by(artifact: Path) -> MadeBy:
    """The producer as a format, because it need not be installed; the format and its operators."""
    try:
        header = read_header(artifact)
    except (NotOnnxError, OSError):
        return MadeBy()
    opsets = {f"opset {domain}": str(version) for domain, version in header.opsets.items()}
    producer = {header.producer: header.producer_version or "unknown"} if header.producer else {}
    return MadeBy(formats={"onnx ir": str(header.ir_version)} | opsets | producer)


def _providers(spec: ModelSpec, device: str) -> list[Any]:
    """CUDA on a GPU if this build of ONNX Runtime has it."""
    import onnxruntime

    if device == "cpu":
        return [CPU]
    if CUDA in onnxruntime.get_available_providers():
        return [(CUDA, {"device_id": int(device.partition(":")[2] or 0)}), CPU]
    if spec.device == "gpu":
        raise ArtifactError(
            "this onnxruntime has no CUDA: pip install onnxruntime-gpu in place of onnxruntime"
        )
    warnings.warn("this onnxruntime has no CUDA; the model computes on the CPU", stacklevel=2)
    return [CPU]


class _Graph:
    """A graph as a runtime. It runs the outputs that the spec shows."""

    def __init__(self, spec: ModelSpec, session: Any) -> None:  # Any: onnxruntime has no types
        self._session = session
        self._feed, self._fixed_rows = _feeding(spec, session.get_inputs())
        there = [output.name for output in session.get_outputs()]
        self._main = _main_output(spec, session.get_outputs())
        shown = {output.source or output.name for output in spec.outputs} & set(there)
        unnamed = [o for o in spec.outputs if (o.source or o.name) not in there]
        self._names = [name for name in there if name in shown or (unnamed and name == self._main)]
        self._has_main = bool(unnamed)
        self._activation = _activation(spec)
        self._of_classes = {o.source or o.name for o in spec.outputs if o.shows_classes} | {self._main}
        self._classifies = spec.classifies
        first = spec.outputs[0]
        self._one_value = not self._classifies and not first.shape and first.column is None

    def __call__(self, columns: Columns) -> RawAnswer:
        found = self._run(self._feed(columns), row_count(columns))
        answers: NamedAnswers = {name: self._answer(name, found[name]) for name in self._names}
        if not self._has_main:
            return answers
        main = answers[self._main]
        if len(self._names) > 1:
            return answers | {MAIN: main}
        return np.asarray(main).reshape(row_count(columns)) if self._one_value else np.asarray(main)

    def _answer(self, name: str, value: Any) -> Array:
        array = _array(value)
        if self._classifies and name in self._of_classes and array.dtype.kind == "f":
            return self._activation(array)
        return array

    def _run(self, feed: dict[str, Array], rows: int) -> dict[str, Any]:
        """A graph with a fixed number of rows runs as often as needed; the last rows are repeated."""
        if self._fixed_rows is None or rows == self._fixed_rows:
            return dict(zip(self._names, self._session.run(self._names, feed), strict=True))
        size, parts = self._fixed_rows, []
        for start in range(0, rows, size):
            part = {name: _padded(values[start : start + size], size) for name, values in feed.items()}
            parts.append([_array(value) for value in self._session.run(self._names, part)])
        whole = [np.concatenate(pieces)[:rows] for pieces in zip(*parts, strict=True)]
        return dict(zip(self._names, whole, strict=True))


@dataclass(frozen=True)
class _FilledInput:
    """An input of the graph, filled by inputs of the spec."""

    name: str
    dtype: npt.DTypeLike
    fields: tuple[str, ...]
    side_by_side: bool  # the fields are the columns of a matrix


def _feeding(
    spec: ModelSpec, graph_inputs: Sequence[Any]
) -> tuple[Callable[[Columns], dict[str, Array]], int | None]:
    """The function from columns to the graph's inputs, and the fixed number of rows of a call, if any."""
    places = [_all_in_one(spec, graph_inputs[0])] if len(graph_inputs) == 1 else _by_name(spec, graph_inputs)
    fixed = {one.shape[0] for one in graph_inputs if one.shape and isinstance(one.shape[0], int)}

    def feed(columns: Columns) -> dict[str, Array]:
        return {place.name: _filled(place, columns) for place in places}

    return feed, next(iter(fixed), None)


def _all_in_one(spec: ModelSpec, one: Any) -> _FilledInput:
    """The only input of the graph: a tensor, or all features as a matrix."""
    tensor = len(spec.inputs) == 1 and bool(spec.inputs[0].shape or spec.inputs[0].image)
    if tensor:
        _check_shape(spec.inputs[0], one)
        return _FilledInput(one.name, _dtype(one), (spec.inputs[0].name,), side_by_side=False)
    wrong = [i.name for i in spec.inputs if i.shape or i.image]
    width = one.shape[1] if len(one.shape) == 2 else None
    if wrong or (isinstance(width, int) and width != len(spec.inputs)):
        raise ArtifactError(
            f"the graph takes one input {one.name!r} of shape {_shown(one.shape)}, and model.toml declares "
            f"{len(spec.inputs)} inputs: declare one tensor of this shape, or an input for each column"
        )
    return _FilledInput(one.name, _dtype(one), tuple(spec.input_names), side_by_side=len(one.shape) == 2)


def _by_name(spec: ModelSpec, graph_inputs: Sequence[Any]) -> list[_FilledInput]:
    return [_named(spec, one) for one in graph_inputs]


def _named(spec: ModelSpec, one: Any) -> _FilledInput:
    found = next((i for i in spec.inputs if i.column_name == one.name), None) or spec.input_of_column(
        one.name
    )
    if found is None:
        raise ArtifactError(
            f"the graph takes {one.name!r} of shape {_shown(one.shape)}, which is no input of model.toml: "
            f"declare it, with column = {one.name!r} if its name for clients differs"
        )
    if found.shape or found.image:
        _check_shape(found, one)
        return _FilledInput(one.name, _dtype(one), (found.name,), side_by_side=False)
    return _FilledInput(one.name, _dtype(one), (found.name,), side_by_side=len(one.shape) == 2)


def _check_shape(declared: InputSpec, one: Any) -> None:
    fixed = list(one.shape[1:])
    if declared.image or not declared.shape:
        return
    fits = len(fixed) == len(declared.shape) and all(
        not isinstance(theirs, int) or ours in (theirs, -1)
        for ours, theirs in zip(declared.shape, fixed, strict=True)
    )
    if not fits:
        raise ArtifactError(
            f"input {declared.name!r} has shape {list(declared.shape)}, and the graph's {one.name!r} has "
            f"{_shown(one.shape)} with the rows first: set shape accordingly"
        )


def _filled(place: _FilledInput, columns: Columns) -> Array:
    parts = [columns[name] for name in place.fields]
    if place.dtype is np.object_:
        parts = [np.array(["" if text is None else text for text in part], object) for part in parts]
    values = np.stack(parts, axis=1) if place.side_by_side else parts[0]
    return np.ascontiguousarray(values, dtype=place.dtype)


def _dtype(one: Any) -> npt.DTypeLike:
    if one.type not in _DTYPES:
        raise ArtifactError(f"the graph's input {one.name!r} is {one.type}, which rows cannot hold")
    return _DTYPES[one.type]


def _main_output(spec: ModelSpec, outputs: Sequence[Any]) -> str:
    """The answer of outputs that select none: for classes the probabilities, else the first output."""
    if spec.classifies:
        probabilities = [o.name for o in outputs if "float" in o.type or "double" in o.type]
        return str(([o.name for o in outputs if "map" in o.type] or probabilities or [outputs[0].name])[-1])
    return str(outputs[0].name)


def _array(value: Any) -> Array:
    """An output; class probabilities as a list of maps (`ZipMap`) become a matrix, in the order of the
    classes."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return np.array([list(row.values()) for row in value])
    return np.asarray(value)


def _padded(values: Array, size: int) -> Array:
    return np.concatenate([values, np.repeat(values[-1:], size - len(values), axis=0)])


def _activation(spec: ModelSpec) -> Callable[[Array], Array]:
    assert isinstance(spec.options, OnnxOptions)
    activation: NetworkActivation = spec.options.activation
    if activation == "softmax":
        return _softmax
    if activation == "sigmoid":
        return _both_classes
    return _as_classes


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Array = powers / powers.sum(axis=1, keepdims=True)
    return result


def _both_classes(logit: Array) -> Array:
    with np.errstate(over="ignore"):
        second = 1 / (1 + np.exp(-logit.reshape(len(logit))))
    return np.stack([1 - second, second], axis=1)


def _as_classes(answer: Array) -> Array:
    """A single probability per row is that of the second of two classes."""
    is_single = answer.ndim == 1 or (answer.ndim == 2 and answer.shape[1] == 1)
    if not is_single:
        return answer
    second = answer.reshape(len(answer))
    return np.stack([1 - second, second], axis=1)


def _shown(shape: Sequence[Any]) -> str:
    return f"({first_of([dim if isinstance(dim, int) else 'rows' for dim in shape])})".replace("'", "")
