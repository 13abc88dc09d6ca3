"""Checks of an answer: its length and shape, finite numbers, valid classes and probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from shared.columns import Array
from shared.specs import ModelSpec
from worker.predictors.probabilities import NOT_FINITE, probability_problem, tolerance_of
from worker.predictors.separate_labels import class_numbers_of, probabilities_of


def problem_of_answer(spec: ModelSpec, answer: Array, rows: int, computed_in: np.dtype[Any]) -> str | None:
    """The problem with the single answer that all outputs show; None: it is valid.

    `computed_in` is the dtype of the answer before its conversion to float64.
    """
    if spec.classifies:
        return problem_of_classes(answer, rows, len(spec.classes), computed_in)
    expected = (rows, *spec.outputs[0].shape)
    if answer.shape != expected:
        return wrong_shape(answer, expected)
    return None if np.isfinite(answer).all() else NOT_FINITE


def problem_of_classes(answer: Array, rows: int, classes: int, computed_in: np.dtype[Any]) -> str | None:
    """The problem with class probabilities, or with records of separate labels; None: they are valid.

    `classes`: their number; 0: any number.
    """
    if answer.dtype.names:
        return _problem_of_labels(answer, rows, classes)
    expected = (rows, *((classes or answer.shape[-1],) if answer.ndim else (1,)))
    if answer.shape != expected:
        return wrong_shape(answer, expected)
    return probability_problem(answer, tolerance_of(computed_in))


def wrong_shape(answer: Array, expected: tuple[int, ...]) -> str:
    return f"answered shape {answer.shape}, expected {expected}"


def _problem_of_labels(answer: Array, rows: int, declared: int) -> str | None:
    if answer.shape != (rows,):
        return f"answered {len(answer)} labels, expected {rows}"
    probabilities, numbers = probabilities_of(answer), class_numbers_of(answer)
    classes = declared or (0 if probabilities is None else probabilities.shape[1])
    if rows and (numbers.min() < 0 or (classes and numbers.max() >= classes)):
        return f"predicted class {int(numbers.max())}; there are {classes}"
    if probabilities is None:
        return None
    if probabilities.shape != (rows, classes):
        return f"answered probabilities of shape {probabilities.shape}, expected {(rows, classes)}"
    return probability_problem(probabilities, tolerance_of(np.dtype(np.float32)))
