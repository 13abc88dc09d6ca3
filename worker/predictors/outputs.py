"""Converts a predictor's answer to the outputs that a model declares.

The same numbers become plain values for the online lane and Arrow for a job's results. Both are built by
whole columns; Python runs per row only to name labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import cast

import numpy as np
import pyarrow as pa

from shared.columns import Array
from shared.messages import OutputColumn
from shared.specs import ModelSpec, OutputSpec, View
from shared.tables import ERROR, result_schema
from worker.predictors.labelled_answers import PROBABILITIES, class_numbers_of

_FEW_ROWS, _FEW_CLASSES = 64, 8


def as_columns(spec: ModelSpec, answer: Array) -> list[OutputColumn]:
    """Plain values of each output, in the order of the spec's outputs.

    `answer` is the result of `Predictor.predict`, with or without separate labels.
    """
    return [_plain(spec, output, _view(output, answer)) for output in spec.outputs]


def as_batch(spec: ModelSpec, answer: Array) -> pa.RecordBatch:
    """The outputs as a job's results, in `result_schema`; `error` is null in every row."""
    schema = result_schema(spec)
    arrays = [_arrow(spec, output, _view(output, answer)) for output in spec.outputs]
    return pa.RecordBatch.from_arrays([*arrays, pa.nulls(len(answer), pa.string())], schema=schema)


def failed_batch(spec: ModelSpec, reasons: Sequence[str]) -> pa.RecordBatch:
    """Results of failed rows: a row for each reason, without outputs."""
    schema = result_schema(spec)
    arrays = [pa.nulls(len(reasons), field.type) for field in schema if field.name != ERROR]
    return pa.RecordBatch.from_arrays([*arrays, pa.array(reasons, pa.string())], schema=schema)


def _view(output: OutputSpec, answer: Array) -> Array:
    """The numbers that an output shows; a label is still the number of its class."""
    shown: Array
    match output.view:
        case View.LABEL | View.CLASS_INDEX:
            shown = class_numbers_of(answer)
        case View.CONFIDENCE:
            shown = _confidence(answer)
        case View.PROBABILITIES:
            shown = answer if answer.dtype.names is None else answer[PROBABILITIES]
        case View.VALUE | View.TENSOR:
            shown = answer
    return shown if output.round is None else shown.round(output.round)


def _confidence(answer: Array) -> Array:
    """The probability of each row's label: the highest probability, unless the label is separate."""
    if answer.dtype.names is None:
        return _highest(answer)
    numbers = class_numbers_of(answer)[:, np.newaxis]
    chosen: Array = np.take_along_axis(answer[PROBABILITIES], numbers, axis=1)
    return chosen[:, 0]


def _highest(answer: Array) -> Array:
    """The maximum of each row. numpy's own reduction takes ten times as long for few classes."""
    rows, classes = answer.shape
    if rows < _FEW_ROWS or classes > _FEW_CLASSES:
        return cast(Array, answer.max(axis=1))
    return reduce(np.maximum, answer.T)


def _plain(spec: ModelSpec, output: OutputSpec, shown: Array) -> OutputColumn:
    values: OutputColumn = shown.tolist()
    if output.view is View.LABEL:
        return [spec.classes[cast(int, index)] for index in values]
    return values


def _arrow(spec: ModelSpec, output: OutputSpec, shown: Array) -> pa.Array:
    if output.view is View.LABEL:
        return pa.array(spec.classes, pa.string()).take(pa.array(shown))
    array = pa.array(shown.reshape(-1))
    for width in reversed(shown.shape[1:]):
        offsets = np.arange(0, len(array) + 1, width, dtype=np.int32)
        array = pa.ListArray.from_arrays(pa.array(offsets), array)
    return array
