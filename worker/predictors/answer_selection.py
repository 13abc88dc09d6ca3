"""Selects, checks and converts the answers of a model with several of them, or with typed values.

A runtime returns its answers by name: arrays with the rows as their first axis, or a list with an array for
each column of an answer. Each output selects an answer by `from` or `method` (default: the answer of the
output's own name, else the only answer) and by `column`. Class views accept class probabilities (rows,
classes), names or indices of classes (rows,), and records of `worker.predictors.separate_labels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from shared.columns import Array
from shared.output_specs import OutputSpec
from shared.specs import ModelSpec
from worker.predictors.answer_checks import problem_of_classes, wrong_shape
from worker.predictors.class_views import view_of
from worker.predictors.labels import ClassNumbers
from worker.predictors.output_types import UnfitValuesError, typed
from worker.predictors.separate_labels import with_labels

NamedAnswers: TypeAlias = dict[str, Array | Sequence[Array]]
"""Answer name → array, or a list of arrays, by column."""
RawAnswer: TypeAlias = Array | NamedAnswers
"""What a runtime returns."""
Shown: TypeAlias = dict[str, Array]
"""Output name → checked values, unrounded; the values of a label are the indices of its classes."""

MAIN = ""
"""The name of the answer of a runtime that has no name for it."""


def shown_outputs(spec: ModelSpec, answers: NamedAnswers, rows: int) -> Shown:
    """The values of each output. Raises UnfitValuesError, which names the output and the problem."""
    shown: Shown = {}
    for output in spec.outputs:
        try:
            shown[output.name] = _shown(spec, output, _selected(output, answers), rows)
        except UnfitValuesError as error:
            raise UnfitValuesError(f"output {output.name!r} {error}") from error
    return shown


def _selected(output: OutputSpec, answers: NamedAnswers) -> Array:
    answer = answers[_name_of_answer(output, answers)]
    if output.column is None:
        if isinstance(answer, list | tuple):
            raise UnfitValuesError(f"needs `column`: the model's answer has {len(answer)} columns")
        return np.asarray(answer)
    columns = answer if isinstance(answer, list | tuple) else np.moveaxis(_two_axes(answer), 1, 0)
    if output.column >= len(columns):
        raise UnfitValuesError(f"shows column {output.column}, but the answer has {len(columns)} columns")
    return np.asarray(columns[output.column])


def _two_axes(answer: Any) -> Array:  # Any: whatever a model returned
    array = np.asarray(answer)
    if array.ndim < 2:
        raise UnfitValuesError(f"selects a column, but the answer has shape {array.shape}")
    return array


def _name_of_answer(output: OutputSpec, answers: NamedAnswers) -> str:
    wanted = output.source or output.method
    if wanted and wanted in answers:
        return wanted
    if not wanted and output.name in answers:
        return output.name
    if not wanted and MAIN in answers:
        return MAIN
    if not wanted and len(answers) == 1:
        return next(iter(answers))
    there = ", ".join(map(repr, answers)) if answers.keys() != {MAIN} else "a single answer without a name"
    if wanted:
        raise UnfitValuesError(f"shows {wanted!r}, which the model does not answer; there is: {there}")
    raise UnfitValuesError(f"needs `from`: the model answers {there}")


def _shown(spec: ModelSpec, output: OutputSpec, answer: Array, rows: int) -> Array:
    if output.shows_classes:
        return _view(output, _class_answer(spec.classes_of(output), answer, rows))
    is_column = not output.shape and answer.ndim == 2 and answer.shape[1] == 1
    values = answer.reshape(-1) if is_column else answer
    expected = (rows, *output.shape)
    if values.shape != expected:
        raise UnfitValuesError(wrong_shape(values, expected))
    return typed(output, values)


def _view(output: OutputSpec, answer: Array) -> Array:
    try:
        return view_of(output.view, answer)
    except ValueError as error:
        raise UnfitValuesError(str(error)) from error


def _class_answer(classes: tuple[str, ...], answer: Array, rows: int) -> Array:
    """Class probabilities as float64, or records of labels."""
    is_of_labels = answer.dtype.names is not None or answer.ndim == 1
    found = _labelled(classes, answer) if is_of_labels else _probabilities(answer)
    if problem := problem_of_classes(found, rows, len(classes), answer.dtype):
        raise UnfitValuesError(problem)
    return found


def _probabilities(answer: Array) -> Array:
    if answer.dtype.kind not in "fiub":
        raise UnfitValuesError(f"shows classes, and the answer is {answer.dtype} of shape {answer.shape}")
    return answer.astype(np.float64, copy=False)


def _labelled(classes: tuple[str, ...], answer: Array) -> Array:
    if answer.dtype.names is not None:
        return answer
    if answer.dtype.kind in "iub":
        return with_labels(answer.astype(np.int64), None)
    if not classes or answer.dtype.kind == "f":
        raise UnfitValuesError(
            f"shows classes, and the answer is {answer.dtype} of shape {answer.shape}: class probabilities "
            "have a column for each class"
        )
    try:
        return with_labels(ClassNumbers(np.array(classes)).of(answer.astype(str)), None)
    except ValueError as error:
        raise UnfitValuesError(str(error)) from error
