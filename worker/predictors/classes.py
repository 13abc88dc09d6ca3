"""An estimator's classes: checks them against the spec, and assigns labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from shared.columns import Array
from shared.errors import ArtifactError
from shared.output_specs import OutputSpec, View
from shared.specs import ModelSpec
from worker.predictors.estimator_input import estimator_type
from worker.predictors.labels import CLOSE, ClassNumbers, LabelRule, close_rows, label_rule
from worker.predictors.separate_labels import with_labels

_OF_PROBABILITIES = (View.CONFIDENCE, View.PROBABILITIES)
_OUTLIER, _INLIER = -1, 1
"""The predictions of scikit-learn's outlier detectors, which have no `classes_`."""


class Classes:
    """Labels and probabilities of a classifier. `rule` may change while the model is loaded."""

    def __init__(self, spec: ModelSpec, estimator: Any) -> None:  # Any: sklearn has no types
        self._estimator = estimator
        self._names = np.array(next(spec.classes_of(o) for o in spec.outputs if o.shows_classes))
        self._shows_probabilities = any(output.view in _OF_PROBABILITIES for output in spec.outputs)
        fitted = _fitted_classes(estimator)
        self._numbers = None if fitted is None else ClassNumbers(fitted)
        has_probabilities = hasattr(estimator, "predict_proba")
        self.rule = label_rule(estimator) if has_probabilities else LabelRule.PREDICT

    def predicted(self, features: Any) -> Array:
        """The labels of `predict`, and the probabilities if an output needs them."""
        numbers = self.numbers(features)
        if not self._shows_probabilities:
            return with_labels(numbers, None)
        return with_labels(numbers, np.asarray(self._estimator.predict_proba(features)))

    def labelled(self, probabilities: Array, margin: float, features_of: Callable[[Array], Any]) -> Array:
        """The probabilities, with separate labels if `predict` decides a close call differently.

        `features_of` returns the estimator's input for the given rows.
        """
        if self.rule is LabelRule.SCORES:
            margin = max(margin, CLOSE)
        if not margin or probabilities.ndim != 2:
            return probabilities
        rows = close_rows(probabilities, margin)
        if rows is None:
            return probabilities
        numbers = probabilities.argmax(axis=1)
        predicted = self.numbers(features_of(rows))
        if np.array_equal(numbers[rows], predicted):
            return probabilities
        numbers[rows] = predicted
        return with_labels(numbers, probabilities)

    def numbers(self, features: Any) -> Array:
        """The class number that `predict` returns for each row. Raises ValueError for an unknown class."""
        predicted = np.asarray(self._estimator.predict(features))
        if self._numbers is not None:
            return self._numbers.of(predicted)
        if predicted.dtype.kind in "iub":
            return predicted.reshape(-1).astype(np.int64)
        return ClassNumbers(self._names).of(predicted)


class ClassesByColumn:
    """Labels and probabilities of a classifier that predicts several classes per row."""

    def __init__(self, spec: ModelSpec, estimator: Any) -> None:
        self._estimator = estimator
        self._shows_probabilities = any(output.view in _OF_PROBABILITIES for output in spec.outputs)
        self._numbers = [ClassNumbers(np.asarray(fitted)) for fitted in estimator.classes_]

    def __call__(self, features: Any) -> list[Array]:
        """For each column of `predict` its labels, and the probabilities if an output needs them."""
        predicted = np.asarray(self._estimator.predict(features)).T
        probabilities = (
            self._estimator.predict_proba(features) if self._shows_probabilities else [None] * len(predicted)
        )
        return [
            with_labels(numbers.of(column), of_column)
            for numbers, column, of_column in zip(self._numbers, predicted, probabilities, strict=True)
        ]


def check_classes(spec: ModelSpec, estimator: Any) -> None:
    """Raises ArtifactError if the estimator does not predict the classes of the spec's class views."""
    name = type(estimator).__name__
    if not hasattr(estimator, "predict_proba"):
        _check_without_probabilities(spec, estimator, name)
    fitted = getattr(estimator, "classes_", None)
    for output in spec.outputs:
        if output.shows_classes:
            _check_names(spec.classes_of(output), _fitted_for(output, fitted, name))


def _fitted_for(output: OutputSpec, fitted: Any, name: str) -> Any:
    """The fitted classes that an output shows; None: the estimator does not record them."""
    several = fitted is not None and len(fitted) > 0 and np.ndim(fitted[0]) > 0
    if output.column is None and several:
        raise ArtifactError(
            f"{name} predicts {len(fitted)} classes per row: output {output.name!r} needs `column`"
        )
    if output.column is None:
        return fitted
    if not several:
        raise ArtifactError(f"{name} predicts one class per row: output {output.name!r} needs no `column`")
    if output.column >= len(fitted):
        raise ArtifactError(
            f"{name} predicts {len(fitted)} classes per row, and output {output.name!r} shows column "
            f"{output.column}"
        )
    return fitted[output.column]


def _check_names(classes: tuple[str, ...], fitted: Any) -> None:
    if classes and fitted is not None and not _same_classes(classes, list(fitted)):
        theirs, ours = ", ".join(map(str, fitted)), ", ".join(classes)
        raise ArtifactError(f"the estimator's classes are {theirs}; the spec's are {ours}")


def _check_without_probabilities(spec: ModelSpec, estimator: Any, name: str) -> None:
    if _is_regressor(estimator) or not hasattr(estimator, "predict"):
        raise ArtifactError(f"{name} predicts no classes and gives no class probabilities (predict_proba)")
    if shown := [output for output in spec.outputs if output.view in _OF_PROBABILITIES]:
        raise ArtifactError(
            f"{name} gives no class probabilities (predict_proba), which output {shown[0].name!r} needs "
            f"(view {shown[0].view}); only label and class_index are possible"
        )


def _is_regressor(estimator: Any) -> bool:
    from sklearn.base import is_regressor

    try:
        return bool(is_regressor(estimator))
    except Exception:  # an estimator that is not derived from scikit-learn's has no tags
        return False


def _fitted_classes(estimator: Any) -> Array | None:
    fitted = getattr(estimator, "classes_", None)
    if fitted is not None:
        return np.asarray(fitted)
    is_detector = estimator_type(estimator) == "outlier_detector"
    return np.array([_OUTLIER, _INLIER]) if is_detector else None


def _same_classes(classes: tuple[str, ...], fitted: list[Any]) -> bool:
    """Whether the spec lists the fitted classes in order. Other names may stand for numbers."""
    names = [_name(one) for one in fitted]
    ours = [name.lower() for name in classes]
    if all(isinstance(one, str) for one in fitted):
        return tuple(fitted) == classes
    return len(names) == len(ours) and (names == ours or set(names) != set(ours))


def _name(fitted: Any) -> str:
    """`0` for 0 and 0.0, `true` for True."""
    is_whole = isinstance(fitted, float | np.floating) and float(fitted).is_integer()
    return str(int(fitted) if is_whole else fitted).lower()
