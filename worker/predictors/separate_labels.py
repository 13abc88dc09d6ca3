"""Answers with separate labels, for models with labels that do not follow from the class probabilities.

Such an answer is an array of records, so that it is sliced and joined like any other answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import numpy as np

from shared.columns import Array

Answer: TypeAlias = Array | dict[str, Array]
"""The result of `Predictor.predict`: the array that all outputs show, or the values of each output."""

CLASS_INDEX, PROBABILITIES = "class_index", "probabilities"
"""The fields of an answer with separate labels."""


def with_labels(numbers: Array, probabilities: Array | None) -> Array:
    """An answer with separate labels: records of class number and, if given, probabilities."""
    fields: list[Any] = [(CLASS_INDEX, np.int64)]
    if probabilities is not None:
        fields.append((PROBABILITIES, np.float64, probabilities.shape[1:]))
    answer = np.empty(len(numbers), dtype=fields)
    answer[CLASS_INDEX] = numbers
    if probabilities is not None:
        answer[PROBABILITIES] = probabilities
    return answer


def probabilities_of(answer: Array) -> Array | None:
    """The class probabilities of an answer, with or without separate labels; None: it has none."""
    if answer.dtype.names is None:
        return answer
    return answer[PROBABILITIES] if PROBABILITIES in answer.dtype.names else None


def class_numbers_of(answer: Array) -> Array:
    """The class number of each row."""
    numbers: Array = answer[CLASS_INDEX] if answer.dtype.names else answer.argmax(axis=1)
    return numbers


def joined(answers: Sequence[Answer]) -> Answer:
    """The answers to parts of a call, joined."""
    if isinstance(answers[0], dict):
        parts = cast(Sequence[dict[str, Array]], answers)  # one model answers always alike
        return {name: np.concatenate([part[name] for part in parts]) for name in answers[0]}
    return _joined(cast(Sequence[Array], answers))


def _joined(answers: Sequence[Array]) -> Array:
    """Only some of the answers may have separate labels."""
    if all(answer.dtype.names is None for answer in answers):
        return np.concatenate(answers)
    return np.concatenate([with_labels(class_numbers_of(one), probabilities_of(one)) for one in answers])
