"""scikit-learn behind the Runtime protocol: an estimator or Pipeline, stored with joblib."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.columns import Array, Columns
from shared.errors import ArtifactError
from shared.specs import InputType, ModelSpec

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = (InputType.FLOAT, InputType.FLOAT32, InputType.INT64)


def load(spec: ModelSpec, artifact: Path, threads: int) -> ScikitLearn:
    """Raises ArtifactError where the estimator does not fit the spec, and whatever joblib raises."""
    import joblib

    estimator = joblib.load(artifact)
    _check(spec, estimator)
    for part in _parts(estimator, set()):
        if getattr(part, "n_jobs", None) is not None:
            part.n_jobs = 1  # parallelism is more workers; joblib's own pool costs more than a small batch
    return ScikitLearn(spec, estimator, threads)


class ScikitLearn:
    """An estimator, called as scikit-learn means it to be called."""

    def __init__(self, spec: ModelSpec, estimator: Any, threads: int) -> None:  # Any: sklearn has no types
        self.estimator = estimator
        self._call = estimator.predict_proba if spec.classifies else estimator.predict
        self._names = _names(spec, estimator)
        self._inputs = spec.input_names
        self.threads = threads
        self._limit = _ThreadLimit(threads)

    def __call__(self, columns: Columns) -> Array:
        self.limit_threads()
        answer: Array = self._call(self._features(columns))
        return answer

    def limit_threads(self) -> None:
        """Let this thread's calls into BLAS and OpenMP use the worker's threads, and no more."""
        self._limit.apply()

    @property
    def features(self) -> list[str]:
        """The inputs that the estimator takes, in its order."""
        return self._inputs if self._names is None else self._names

    def rows(self, columns: Columns) -> Array:
        """Numeric columns as the array that the estimator computes with, in the layout that it has there: a
        DataFrame keeps its columns together."""
        if self._names is None:
            return self._stacked(columns)
        parts = [columns[name] for name in self._names]
        rows = np.empty((len(parts[0]), len(parts)), dtype=np.result_type(*parts), order="F")
        for number, part in enumerate(parts):
            rows[:, number] = part
        return rows

    def _features(self, columns: Columns) -> Array | pd.DataFrame:
        return self._stacked(columns) if self._names is None else as_frame(columns, self._names)

    def _stacked(self, columns: Columns) -> Array:
        if len(self._inputs) == 1 and columns[self._inputs[0]].ndim > 1:
            return columns[self._inputs[0]]
        return np.stack([columns[name] for name in self._inputs], axis=1).astype(np.float64, copy=False)


def as_frame(columns: Columns, names: list[str]) -> pd.DataFrame:
    """The columns as the DataFrame that pandas would read from a file: what is missing is NaN, or NaT.

    A column's dtype does not depend on its values, so neither does what the estimator makes of a row.
    """
    import pandas as pd

    return pd.DataFrame({name: _series(columns[name]) for name in names}, copy=False)


def _series(column: Array) -> pd.Series[Any]:
    import pandas as pd

    if column.dtype == object:
        column = np.where(pd.isna(column), np.nan, column)
    return pd.Series(column, dtype=column.dtype, copy=False)


def _names(spec: ModelSpec, estimator: Any) -> list[str] | None:
    """The columns of the DataFrame that the estimator wants, or None: it wants an array."""
    if hasattr(estimator, "feature_names_in_"):
        return [str(name) for name in estimator.feature_names_in_]
    return None if all(i.type in _NUMBERS for i in spec.inputs) else spec.input_names


def _check(spec: ModelSpec, estimator: Any) -> None:
    unknown = set(_names(spec, estimator) or ()) - set(spec.input_names)
    if unknown:
        raise ArtifactError(f"the estimator was fitted with {min(unknown)!r}, which is no input of the spec")
    if spec.classifies and not hasattr(estimator, "predict_proba"):
        raise ArtifactError(f"{type(estimator).__name__} gives no class probabilities (predict_proba)")
    fitted = getattr(estimator, "classes_", None)
    if spec.classes and fitted is not None and not _same_classes(spec, list(fitted)):
        theirs, ours = ", ".join(map(str, fitted)), ", ".join(spec.classes)
        raise ArtifactError(f"the estimator's classes are {theirs}; the spec's are {ours}")


def _same_classes(spec: ModelSpec, fitted: list[Any]) -> bool:
    """Classes that were fitted by name must have the spec's names; numbers only need one name each."""
    if all(isinstance(name, str) for name in fitted):
        return tuple(fitted) == spec.classes
    return len(fitted) == len(spec.classes)


def _parts(thing: object, seen: set[int]) -> Iterator[Any]:
    """Every estimator inside an estimator, fitted ones too, which `get_params` does not know of."""
    from sklearn.base import BaseEstimator

    if id(thing) in seen:
        return
    seen.add(id(thing))
    inside: Any = ()
    if isinstance(thing, BaseEstimator):
        yield thing
        inside = vars(thing).values()
    elif isinstance(thing, dict):
        inside = thing.values()
    elif isinstance(thing, list | tuple):
        inside = thing
    for part in inside:
        yield from _parts(part, seen)


class _ThreadLimit:
    """Caps BLAS and OpenMP. OpenMP keeps its limit per calling thread, so each thread sets its own once."""

    def __init__(self, threads: int) -> None:
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # publishes no types

        self._threads = threads
        self._controller = ThreadpoolController()
        self._local = threading.local()

    def apply(self) -> None:
        if not hasattr(self._local, "limit"):
            self._local.limit = self._controller.limit(limits=self._threads)
