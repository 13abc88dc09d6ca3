"""The views of a class answer: label, index, confidence and probabilities."""

from __future__ import annotations

from functools import reduce
from typing import cast

import numpy as np

from shared.columns import Array
from shared.output_specs import View
from worker.predictors.separate_labels import class_numbers_of, probabilities_of

_FEW_ROWS, _FEW_CLASSES = 64, 8


def view_of(view: View, answer: Array) -> Array:
    """What a view shows of an answer; a label is still the index of its class.

    Raises ValueError if the view needs class probabilities and the answer has only labels.
    """
    match view:
        case View.LABEL | View.CLASS_INDEX:
            return class_numbers_of(answer)
        case View.CONFIDENCE:
            return _confidence(answer)
        case View.PROBABILITIES:
            return _probabilities(answer)
        case View.VALUE | View.TENSOR:
            return answer


def _confidence(answer: Array) -> Array:
    """The probability of each row's label: the highest probability, unless the label is separate."""
    if answer.dtype.names is None:
        return _highest(answer)
    numbers = class_numbers_of(answer)[:, np.newaxis]
    chosen: Array = np.take_along_axis(_probabilities(answer), numbers, axis=1)
    return chosen[:, 0]


def _probabilities(answer: Array) -> Array:
    found = probabilities_of(answer)
    if found is None:
        raise ValueError("needs class probabilities, and the answer has only labels")
    return found


def _highest(answer: Array) -> Array:
    """The maximum of each row. numpy's own reduction takes ten times as long for few classes."""
    rows, classes = answer.shape
    if rows < _FEW_ROWS or classes > _FEW_CLASSES:
        return cast(Array, answer.max(axis=1))
    return reduce(np.maximum, answer.T)
