"""Converts a predictor's answer to the outputs that a model declares.

The same values become plain values for the online lane and Arrow for a job's results. Both are built by
whole columns; Python runs per row only to name labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import pyarrow as pa

from shared.arrow_tables import ARROW_OF_OUTPUTS, ERROR, result_schema
from shared.columns import Array
from shared.messages import OutputColumn
from shared.output_columns import output_dtypes
from shared.output_specs import OutputSpec, OutputType, View
from shared.specs import ModelSpec
from worker.predictors.class_views import view_of
from worker.predictors.separate_labels import Answer

_FEW_VALUES = 16


def as_columns(spec: ModelSpec, answer: Answer) -> list[OutputColumn]:
    """Plain values of each output, in the order of the spec's outputs.

    `answer` is the result of `Predictor.predict`.
    """
    return [_plain(spec, output, shown) for output, shown in _shown(spec, answer)]


def as_arrays(spec: ModelSpec, answer: Answer) -> list[Array | OutputColumn]:
    """Each output as the array of its binary form, or as plain values if it has none."""
    shown = zip(output_dtypes(spec), _shown(spec, answer), strict=True)
    return [
        _plain(spec, output, values) if dtype is None else np.ascontiguousarray(values, dtype=dtype)
        for dtype, (output, values) in shown
    ]


def as_batch(spec: ModelSpec, answer: Answer) -> pa.RecordBatch:
    """The outputs as a job's results, in `result_schema`; `error` is null in every row."""
    schema = result_schema(spec)
    arrays = [_arrow(spec, output, shown) for output, shown in _shown(spec, answer)]
    return pa.RecordBatch.from_arrays([*arrays, pa.nulls(len(arrays[0]), pa.string())], schema=schema)


def failed_batch(spec: ModelSpec, reasons: Sequence[str]) -> pa.RecordBatch:
    """Results of failed rows: a row for each reason, without outputs."""
    schema = result_schema(spec)
    arrays = [pa.nulls(len(reasons), field.type) for field in schema if field.name != ERROR]
    return pa.RecordBatch.from_arrays([*arrays, pa.array(reasons, pa.string())], schema=schema)


def _shown(spec: ModelSpec, answer: Answer) -> Iterator[tuple[OutputSpec, Array]]:
    """The values that each output shows; a label is still the index of its class."""
    for output in spec.outputs:
        shown = answer[output.name] if isinstance(answer, dict) else view_of(output.view, answer)
        yield output, shown if output.round is None else shown.round(output.round)


def _plain(spec: ModelSpec, output: OutputSpec, shown: Array) -> OutputColumn:
    if output.view is View.LABEL:
        classes = spec.classes_of(output)
        return [classes[cast(int, index)] for index in shown.tolist()]
    if output.type is OutputType.FLOAT32:
        shown = _shortest(shown)
    if output.nullable and output.value_type.is_float:
        shown = _without_nan(shown)
    values: OutputColumn = shown.tolist()
    return values


def _without_nan(values: Array) -> Array:
    found = values.astype(object)
    found[np.isnan(values)] = None
    return found


def _shortest(values: Array) -> Array:
    """float64 that JSON writes with as few digits as float32 needs: 0.1 rather than 0.10000000149011612.

    Read as a float64 and rounded to float32, each is the same float32 as before.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    if flat.size <= _FEW_VALUES:
        short = np.array([float(str(value)) for value in flat], dtype=np.float64)
    else:
        short = pa.array(flat).cast(pa.string()).cast(pa.float64()).to_numpy(zero_copy_only=False)
    same = (short.astype(np.float32) == flat) | np.isnan(flat)  # false for one float32: 7.038531e-26
    return np.where(same, short, flat.astype(np.float64)).reshape(values.shape)


def _arrow(spec: ModelSpec, output: OutputSpec, shown: Array) -> pa.Array:
    if output.view is View.LABEL:
        return pa.array(spec.classes_of(output), pa.string()).take(pa.array(shown))
    kind = ARROW_OF_OUTPUTS[output.value_type]
    array = pa.array(shown.reshape(-1), kind, from_pandas=output.nullable)
    for width in reversed(shown.shape[1:]):
        offsets = np.arange(0, len(array) + 1, width, dtype=np.int32)
        array = pa.ListArray.from_arrays(pa.array(offsets), array)
    return array
