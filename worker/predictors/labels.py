"""Labels: the class that a model predicts, which may differ from the class of highest probability.

`predict` decides. Some estimators define it as the argmax of `predict_proba`; others compare scores, of which
the probabilities are a monotone function. Both kinds are known by class: for them `predict` is not called, or
only for rows with two nearly equal highest probabilities. For all other estimators it is always called.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, cast

import numpy as np

from shared.columns import Array

CLOSE = 1e-6
"""If a row's two highest probabilities differ by less, their order may differ from that of the scores."""
_FEW_VALUES, _FEW_CLASSES = 32, 8


class LabelRule(StrEnum):
    """How an estimator determines the label of a row."""

    ARGMAX = "argmax"  # `predict` is defined as the argmax of `predict_proba`
    SCORES = "scores"  # `predict` compares scores, which order like the probabilities up to rounding
    PREDICT = "predict"  # only `predict` returns the label


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
_ARGMAX_OF_OTHERS = {
    ("lightgbm.sklearn", "LGBMClassifier"),
    ("xgboost.sklearn", "XGBClassifier"),
    ("xgboost.sklearn", "XGBRFClassifier"),
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
"""Estimators that take `predict` and `predict_proba` from an inner estimator."""


def label_rule(estimator: Any) -> LabelRule:  # Any: scikit-learn publishes no types
    """How the estimator's labels follow from its probabilities.

    A class derived from scikit-learn's, or an instance, may define another `predict`.
    """
    kind = type(estimator)
    if (kind.__module__, kind.__name__) in _ARGMAX_OF_OTHERS:
        return LabelRule.ARGMAX
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
    """The number of a predicted class: its position in the estimator's classes."""

    def __init__(self, classes: Array) -> None:
        self._order = np.argsort(classes, kind="stable")
        self._sorted = classes[self._order]

    def of(self, predicted: Array) -> Array:
        """Raises ValueError for an unknown class."""
        predicted = np.ravel(predicted)
        places = np.searchsorted(self._sorted, predicted).clip(max=len(self._sorted) - 1)
        strange = self._sorted[places] != predicted
        if np.any(strange):
            raise ValueError(
                f"predict answered {predicted[strange].tolist()[0]!r}, which is not a known class"
            )
        return cast(Array, self._order[places])


def close_rows(probabilities: Array, margin: float) -> Array | None:
    """The rows whose two highest probabilities differ by less than `margin`; None: there are none."""
    if probabilities.shape[1] < 2:
        return None
    if probabilities.size <= _FEW_VALUES:  # Python lists are faster then
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
    """The difference between each row's two highest probabilities. A few classes are compared by column,
    several times as fast as sorting each row."""
    if probabilities.shape[1] > _FEW_CLASSES:
        highest = np.partition(probabilities, -2, axis=1)
        return cast(Array, highest[:, -1] - highest[:, -2])
    one, other, *rest = probabilities.T
    first, second = np.maximum(one, other), np.minimum(one, other)
    for column in rest:
        second = np.maximum(second, np.minimum(first, column))
        first = np.maximum(first, column)
    return cast(Array, first - second)
