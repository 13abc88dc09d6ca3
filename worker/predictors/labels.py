"""Labels: the class that a model predicts, which need not be the one with the highest probability.

`predict` decides. Some estimators define it as the argmax of `predict_proba`, and some by scores of which the
probabilities are a monotone function; these are known by class, so that `predict` is not called, or only for
rows whose two highest probabilities are nearly equal. For all other estimators `predict` is always called.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, cast

import numpy as np

from shared.columns import Array

CLASS_INDEX, PROBABILITIES = "class_index", "probabilities"
"""The fields of an answer whose labels are given apart from the probabilities."""
CLOSE = 1e-6
"""Two highest probabilities of a row that differ by less may be in another order than the scores."""
_FEW_VALUES, _FEW_CLASSES = 32, 8


class LabelRule(StrEnum):
    """How the label of a row follows from the estimator."""

    ARGMAX = "argmax"  # `predict` is the argmax of `predict_proba`, by its definition
    SCORES = "scores"  # `predict` compares scores; the probabilities have their order but for rounding
    PREDICT = "predict"  # only `predict` knows


_ARGMAX = {
    "BaggingClassifier",
    "CalibratedClassifierCV",
    "DecisionTreeClassifier",
    "ExtraTreeClassifier",
    "ExtraTreesClassifier",
    "LabelPropagation",
    "LabelSpreading",
    "MLPClassifier",
    "RandomForestClassifier",
}
_SCORES = {
    "BernoulliNB",
    "CategoricalNB",
    "ComplementNB",
    "GaussianNB",
    "GradientBoostingClassifier",
    "HistGradientBoostingClassifier",
    "LinearDiscriminantAnalysis",
    "LogisticRegression",
    "LogisticRegressionCV",
    "MultinomialNB",
    "QuadraticDiscriminantAnalysis",
}
_DELEGATES = {
    "GridSearchCV": "best_estimator_",
    "HalvingGridSearchCV": "best_estimator_",
    "HalvingRandomSearchCV": "best_estimator_",
    "RandomizedSearchCV": "best_estimator_",
    "StackingClassifier": "final_estimator_",
}
"""Estimators whose `predict` and `predict_proba` are those of one inside them."""


def label_rule(estimator: Any) -> LabelRule:  # Any: scikit-learn publishes no types
    """How the estimator's labels follow from its probabilities.

    A class that is derived from one of scikit-learn's may define another `predict`, and so may an instance.
    """
    kind = type(estimator)
    if not kind.__module__.startswith("sklearn.") or {"predict", "predict_proba"} & vars(estimator).keys():
        return LabelRule.PREDICT
    name = kind.__name__
    if name == "Pipeline":
        return label_rule(estimator.steps[-1][1])
    if name in _DELEGATES:
        return label_rule(getattr(estimator, _DELEGATES[name], None))
    if name in _ARGMAX or (name == "VotingClassifier" and estimator.voting == "soft"):
        return LabelRule.ARGMAX
    return LabelRule.SCORES if name in _SCORES else LabelRule.PREDICT


class ClassNumbers:
    """The number of a predicted class, by its position in the estimator's classes."""

    def __init__(self, classes: Array) -> None:
        self._order = np.argsort(classes, kind="stable")
        self._sorted = classes[self._order]

    def of(self, predicted: Array) -> Array:
        """Raises ValueError for what is not one of the classes."""
        predicted = np.ravel(predicted)
        places = np.searchsorted(self._sorted, predicted).clip(max=len(self._sorted) - 1)
        strange = self._sorted[places] != predicted
        if np.any(strange):
            raise ValueError(f"predict answered {predicted[strange][0]!r}, which is none of the classes")
        return cast(Array, self._order[places])


def with_labels(numbers: Array, probabilities: Array | None) -> Array:
    """An answer whose labels are given apart: records of the class's number and any probabilities."""
    fields: list[Any] = [(CLASS_INDEX, np.int64)]
    if probabilities is not None:
        fields.append((PROBABILITIES, np.float64, probabilities.shape[1:]))
    answer = np.empty(len(numbers), dtype=fields)
    answer[CLASS_INDEX] = numbers
    if probabilities is not None:
        answer[PROBABILITIES] = probabilities
    return answer


def probabilities_of(answer: Array) -> Array | None:
    """The class probabilities of an answer, with or without labels apart; None: it has none."""
    if answer.dtype.names is None:
        return answer
    return answer[PROBABILITIES] if PROBABILITIES in answer.dtype.names else None


def class_numbers_of(answer: Array) -> Array:
    """The number of each row's class."""
    numbers: Array = answer[CLASS_INDEX] if answer.dtype.names else answer.argmax(axis=1)
    return numbers


def joined(answers: list[Array]) -> Array:
    """Answers to parts of a call as one, where some have labels apart and others not."""
    if all(answer.dtype.names is None for answer in answers):
        return np.concatenate(answers)
    return np.concatenate([with_labels(class_numbers_of(one), probabilities_of(one)) for one in answers])


def close_rows(probabilities: Array, margin: float) -> Array | None:
    """The rows whose two highest probabilities differ by less than `margin`; None: there is none."""
    if probabilities.shape[1] < 2:
        return None
    if probabilities.size <= _FEW_VALUES:  # lists are quicker then
        close = [number for number, row in enumerate(probabilities.tolist()) if _is_close(row, margin)]
        return np.array(close) if close else None
    gaps = _gaps(probabilities)
    if gaps.min(initial=np.inf) >= margin:
        return None
    return np.flatnonzero(gaps < margin)


def _is_close(row: list[float], margin: float) -> bool:
    *_, second, first = sorted(row)
    return not first - second >= margin


def _gaps(probabilities: Array) -> Array:
    """Of each row, how far its highest probability is above the second. Few classes are compared by column,
    which is several times as fast as sorting each row."""
    if probabilities.shape[1] > _FEW_CLASSES:
        highest = np.partition(probabilities, -2, axis=1)
        return cast(Array, highest[:, -1] - highest[:, -2])
    one, other, *rest = probabilities.T
    first, second = np.maximum(one, other), np.minimum(one, other)
    for column in rest:
        second = np.maximum(second, np.minimum(first, column))
        first = np.maximum(first, column)
    return cast(Array, first - second)
