"""scikit-learn as a Runtime: an estimator or Pipeline, stored with joblib."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from shared.columns import Array, Columns
from shared.errors import ArtifactError
from shared.frameworks.builtin import ScikitLearnOptions
from shared.input_specs import InputType
from shared.output_specs import View, shows_classes_by_column
from shared.specs import ModelSpec
from worker.predictors.base import ModelRuntime
from worker.predictors.classes import Classes, check_classes
from worker.predictors.compiled import Compiled, NotCompiledError, compile_estimator
from worker.predictors.estimator_answers import EstimatorAnswers, check_methods
from worker.predictors.estimator_input import EstimatorInput, input_of, parts
from worker.predictors.implementation import MadeBy, ModelFiles
from worker.predictors.labels import LabelRule
from worker.predictors.onnx import ONNX, onnx_kernel
from worker.predictors.pickle_versions import pickled_by
from worker.predictors.pickles import check_estimator, open_pickle
from worker.predictors.separate_labels import class_numbers_of
from worker.predictors.skops_files import SUFFIX, made_by_skops, open_skops

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = (InputType.FLOAT, InputType.FLOAT32, InputType.INT64)


T = TypeVar("T")
Features: TypeAlias = Any
"""The input of an estimator: an array or a DataFrame (Any: pandas is imported on first use)."""


CALLS_IMPORT = ("pandas", "threadpoolctl")
"""Modules that the first call would import."""


def load(spec: ModelSpec, files: ModelFiles, _device: str, threads: int) -> ModelRuntime:
    """Raises ArtifactError if the estimator does not fit the spec, and any exception of joblib."""
    return runtime_of(spec, _opened(spec, files.artifact), threads)


def runtime_of(spec: ModelSpec, estimator: Any, threads: int) -> ModelRuntime:
    """Raises ArtifactError if the estimator does not fit the spec. Any: scikit-learn has no types."""
    check_estimator(estimator)
    _check(spec, estimator)
    for part in parts(estimator, set()):
        if getattr(part, "n_jobs", None) is not None:
            part.n_jobs = 1  # workers are the parallelism; joblib's pool costs more than a small batch
    native = ScikitLearn(spec, estimator, threads)
    return native if spec.shows_one_answer else EstimatorAnswers(spec, native)


def made_by(artifact: Path) -> MadeBy:
    """scikit-learn writes its version into each stored estimator."""
    if artifact.name.lower().endswith(SUFFIX):
        return made_by_skops(artifact)
    pickled = pickled_by(artifact)
    versions = {"scikit-learn": ", ".join(sorted(pickled.sklearn))} if pickled.sklearn else {}
    return MadeBy(versions, modules=frozenset(pickled.modules))


def _opened(spec: ModelSpec, artifact: Path) -> Any:
    if artifact.name.lower().endswith(SUFFIX):
        assert isinstance(spec.options, ScikitLearnOptions)
        return open_skops(artifact, spec.options)
    return open_pickle(artifact)


class ScikitLearn:
    """An estimator as a Runtime."""

    def __init__(self, spec: ModelSpec, estimator: Any, threads: int) -> None:  # Any: sklearn has no types
        self.estimator = estimator
        has_probabilities = spec.classifies and hasattr(estimator, "predict_proba")
        self._call = getattr(estimator, "predict_proba" if has_probabilities else "predict", None)
        has_classes = spec.classifies and not shows_classes_by_column(spec.outputs)
        self._classes = Classes(spec, estimator) if has_classes else None
        self._one_value = spec.outputs[0].view is View.VALUE and spec.outputs[0].column is None
        self._input = input_of(spec, estimator)
        self._inputs = spec.input_names
        self._only_float64 = all(one.type is InputType.FLOAT and not one.shape for one in spec.inputs)
        self.threads = threads
        self._limit = _ThreadLimit(threads)

    def __call__(self, columns: Columns) -> Array:
        return self.with_features(columns, partial(self.predicted, columns))

    def with_features(self, columns: Columns, call: Callable[[Features], T]) -> T:
        """The result of `call` with the estimator's input. Raises any exception of the model."""
        self.limit_threads()
        if self._input.other is None:
            return call(self._features(columns))
        try:
            answer = call(self._features(columns))
        except Exception:  # a model may raise anything
            answer = self._call_otherwise(columns, call, self._input.other)
        self._input = replace(self._input, other=None)  # settled by the first call that succeeds
        return answer

    def _call_otherwise(self, columns: Columns, call: Callable[[Features], T], other: EstimatorInput) -> T:
        """Try the other form of input. Raises any exception of the model; the form then stays unchanged."""
        before, self._input = self._input, other
        try:
            return call(self._features(columns))
        except Exception:
            self._input = before
            raise

    def predicted(self, columns: Columns, features: Features) -> Array:
        """The prediction for the estimator's input; the same rows as `columns`."""
        if self._classes is None:
            return self._values(features)
        if self._classes.rule is LabelRule.PREDICT:
            return self._classes.predicted(features)
        assert self._call is not None
        return self.labelled(columns, self._call(features))

    def settled(self) -> dict[str, str | list[str] | None]:
        return {"names": self._input.names, "label_rule": self.label_rule}

    def settle(self, state: Mapping[str, Any]) -> None:
        if (other := self._input.other) is not None:
            form = self._input if self._input.names == state["names"] else other
            self._input = replace(form, other=None)
        if self._classes is not None:
            self._classes.rule = LabelRule(state["label_rule"])

    @property
    def label_rule(self) -> LabelRule | None:
        """How labels follow from the probabilities; None: it answers values."""
        return self._classes.rule if self._classes else None

    def distrust_probabilities(self) -> None:
        """Take every label from `predict` from now on."""
        if self._classes:
            self._classes.rule = LabelRule.PREDICT

    def labelled(self, columns: Columns, probabilities: Array, margin: float = 0.0) -> Array:
        """The probabilities. Rows whose two highest probabilities differ by less than `margin`, or by less
        than rounding changes scores, get the labels of `predict`."""
        if self._classes is None:
            return probabilities
        return self._classes.labelled(
            probabilities,
            margin,
            lambda rows: self._features({name: values[rows] for name, values in columns.items()}),
        )

    def shown_classes(self, columns: Columns) -> Array:
        """The class number that a prediction shows for each row."""
        return class_numbers_of(np.asarray(self(columns)))

    def predicted_classes(self, columns: Columns) -> Array:
        """The class number that `predict` returns for each row."""
        assert self._classes is not None
        self.limit_threads()
        return self._classes.numbers(self._features(columns))

    def _values(self, features: Array | pd.DataFrame) -> Array:
        assert self._call is not None  # `check_methods` refuses other estimators
        answer: Array = self._call(features)
        # some estimators return a single value per row as a column
        is_column = self._one_value and answer.ndim == 2 and answer.shape[1] == 1
        return answer.reshape(-1) if is_column else answer

    takes_missing = False

    def compiled(self, spec: ModelSpec) -> Compiled:
        """Exact kernels, and ONNX Runtime if the spec allows it; exact kernels run only if they are
        faster."""
        if self.label_rule is LabelRule.PREDICT:
            name = type(self.estimator).__name__
            raise NotCompiledError(f"{name} takes its labels from predict, which is not compiled")
        probabilities = spec.classifies
        if spec.runtime != ONNX:
            return compile_estimator(self.estimator, probabilities=probabilities)
        onnx = onnx_kernel(self.estimator, probabilities=probabilities, threads=self.threads)
        try:
            exact = compile_estimator(self.estimator, probabilities=probabilities)
        except NotCompiledError:
            exact = Compiled({})
        return replace(exact, kernels={**exact.kernels, ONNX: onnx})

    def limit_threads(self) -> None:
        """Limit BLAS and OpenMP calls of this thread to the worker's threads."""
        self._limit.apply()

    @property
    def features(self) -> list[str]:
        """The inputs that the estimator takes, in its order."""
        return self._inputs if self._input.names is None else self._input.names

    def rows(self, columns: Columns) -> Array:
        """Numeric columns as the array that the estimator computes with, in the same memory layout: a
        DataFrame stores each column contiguously."""
        if self._input.names is None:
            return self._stacked(columns)
        parts = [columns[name] for name in self._input.names]
        return _filled(np.empty((len(parts[0]), len(parts)), dtype=np.result_type(*parts), order="F"), parts)

    def _features(self, columns: Columns) -> Array | pd.DataFrame:
        if self._input.texts:
            return _texts(columns[self._inputs[0]])
        if self._input.names is None:
            return self._stacked(columns)
        return as_frame(columns, self._input.names, self._input.columns)

    def _stacked(self, columns: Columns) -> Array:
        if len(self._inputs) == 1 and columns[self._inputs[0]].ndim > 1:
            return columns[self._inputs[0]]
        parts = [columns[name] for name in self._inputs]
        if self._only_float64:  # for a few rows, `np.stack` takes three times as long
            return _filled(np.empty((len(parts[0]), len(parts))), parts)
        return np.stack(parts, axis=1).astype(np.float64, copy=False)


def _filled(rows: Array, parts: list[Array]) -> Array:
    for number, part in enumerate(parts):
        rows[:, number] = part
    return rows


def as_frame(columns: Columns, names: list[str], labels: list[str]) -> pd.DataFrame:
    """These inputs as the DataFrame that pandas would read from a file with the columns `labels`: missing
    values are NaN or NaT.

    A column's dtype does not depend on its values, so a row's answer does not depend on other rows.
    """
    import pandas as pd

    series = {label: _series(columns[name]) for name, label in zip(names, labels, strict=True)}
    return pd.DataFrame(series, copy=False)


def _texts(column: Array) -> Array:
    """The texts of a call; a missing text is empty, because a vectorizer takes no null."""
    missing = np.array([text is None for text in column], dtype=bool)
    return np.where(missing, "", column) if missing.any() else column


def _series(column: Array) -> pd.Series[Any]:
    import pandas as pd

    if column.dtype == object:
        column = np.where(pd.isna(column), np.nan, column)
    return pd.Series(column, dtype=column.dtype, copy=False)


def _check(spec: ModelSpec, estimator: Any) -> None:
    _check_number(spec, estimator, input_of(spec, estimator))
    check_methods(spec, estimator)
    if spec.classifies:
        check_classes(spec, estimator)


def _check_number(spec: ModelSpec, estimator: Any, given: EstimatorInput) -> None:
    """An estimator without names of its features takes all inputs."""
    fitted = _fitted_features(estimator)
    is_table = given.names is None and not given.texts and all(len(one.shape) < 2 for one in spec.inputs)
    if not (is_table and fitted):
        return
    declared = sum(one.size for one in spec.inputs)
    if declared != fitted:
        raise ArtifactError(
            f"{type(estimator).__name__} was fitted on {fitted} features, and model.toml declares "
            f"{declared}: declare an input for each feature, in the order of the training"
        )


def _fitted_features(estimator: Any) -> int | None:
    """None: unknown. Other libraries may set `n_features_in_` before a fit."""
    if type(estimator).__module__.startswith("catboost."):
        return len(estimator.feature_names_ or ()) or None
    known = type(estimator).__module__.startswith(("sklearn.", "xgboost.", "lightgbm."))
    try:
        found: int | None = estimator.n_features_in_ if known else None
    except Exception:  # not fitted
        return None
    return found


class _ThreadLimit:
    """Limits BLAS and OpenMP. OpenMP keeps its limit per calling thread, so each thread sets it once."""

    def __init__(self, threads: int) -> None:
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # publishes no types

        self._threads = threads
        self._controller = ThreadpoolController()
        self._local = threading.local()

    def apply(self) -> None:
        if not hasattr(self._local, "limit"):
            self._local.limit = self._controller.limit(limits=self._threads)
