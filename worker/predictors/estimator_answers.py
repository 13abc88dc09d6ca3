"""Several answers of an estimator: its prediction, and those of the methods that outputs select."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.columns import Array, Columns
from shared.errors import ArtifactError
from shared.output_specs import shows_classes_by_column
from shared.specs import ModelSpec
from worker.predictors.answer_selection import MAIN, NamedAnswers
from worker.predictors.base import ArrayRuntime, ModelRuntime
from worker.predictors.classes import ClassesByColumn

if TYPE_CHECKING:
    from worker.predictors.scikit_learn import ScikitLearn


class EstimatorAnswers:
    """An estimator as a runtime with several answers, by the name of their method; the prediction has none.

    `prediction` returns the prediction, natively or compiled; None: no output shows it as a single answer.
    """

    def __init__(self, spec: ModelSpec, native: ScikitLearn) -> None:
        self.native = native
        predicts = any(not output.method for output in spec.outputs)
        by_column = shows_classes_by_column(spec.outputs)
        self.prediction: ArrayRuntime | None = native if predicts and not by_column else None
        methods = sorted({output.method for output in spec.outputs if output.method})
        self._further: dict[str, Callable[[Any], Any]] = {
            method: getattr(native.estimator, method) for method in methods
        }
        if by_column:
            self._further[MAIN] = ClassesByColumn(spec, native.estimator)

    def with_prediction(self, prediction: ArrayRuntime) -> EstimatorAnswers:
        """The same answers, with the prediction by another runtime."""
        changed = copy.copy(self)
        changed.prediction = prediction
        return changed

    def settled(self) -> dict[str, str | list[str] | None]:
        return self.native.settled()

    def settle(self, state: Mapping[str, Any]) -> None:
        self.native.settle(state)

    def __call__(self, columns: Columns) -> NamedAnswers:
        if self.prediction is self.native:  # the estimator's input is made once
            return self.native.with_features(columns, partial(self._all, columns))
        answers: NamedAnswers = {MAIN: self.prediction(columns)} if self.prediction else {}
        if self._further:
            answers |= self.native.with_features(columns, self._called)
        return answers

    def _all(self, columns: Columns, features: Any) -> NamedAnswers:
        return {MAIN: self.native.predicted(columns, features)} | self._called(features)

    def _called(self, features: Any) -> NamedAnswers:  # Any: an array or a DataFrame
        return {name: _arrays(method(features)) for name, method in self._further.items()}


def prediction_of(runtime: ModelRuntime) -> ModelRuntime | None:
    """The runtime of a model's prediction; None: it predicts no single answer."""
    return runtime.prediction if isinstance(runtime, EstimatorAnswers) else runtime


def check_methods(spec: ModelSpec, estimator: Any) -> None:
    """Raises ArtifactError if the estimator lacks a method that an output shows."""
    for output in spec.outputs:
        if output.source:
            raise ArtifactError(
                f"output {output.name!r} has `from`, but the answers of an estimator are selected by `method`"
            )
        method = output.method or "predict"
        if not output.shows_classes and not callable(getattr(estimator, method, None)):
            raise ArtifactError(
                f"{type(estimator).__name__} has no method {method!r}, which output {output.name!r} shows"
            )


def _arrays(answer: Any) -> Array | Sequence[Array]:
    """A method's return value as an array, or as one for each item of a tuple or list."""
    if isinstance(answer, list | tuple):
        return [np.asarray(_dense(item)) for item in answer]
    return np.asarray(_dense(answer))


def _dense(answer: Any) -> Any:
    """Sparse matrices and tables of pandas as arrays."""
    if hasattr(answer, "toarray"):
        return answer.toarray()
    return answer.to_numpy() if hasattr(answer, "to_numpy") else answer
