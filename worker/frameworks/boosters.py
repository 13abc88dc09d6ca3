"""A native booster as a runtime: the interface of XGBoost's and LightGBM's runtimes, and their wrappers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from shared.columns import Array, Columns
from shared.errors import ArtifactError
from shared.safe_texts import foreign_words
from shared.specs import ModelSpec
from worker.frameworks.feature_table import FeatureTable
from worker.predictors.compiled import Compiled
from worker.predictors.compiled.kernels import NotCompiledError
from worker.predictors.implementation import MadeBy
from worker.predictors.pickle_versions import pickled_by

PICKLES = (".joblib", ".pkl", ".pickle")
"""Suffixes of the scikit-learn wrappers of boosters."""


_DAMAGE = re.compile("Check failed|map::at|Unknown construct|Expecting|Failed to read|Incorrect model")
"""In messages of the libraries about a file that is cut off or another."""


class BoosterRuntime:
    """Answers class probabilities (rows, classes) if the spec classifies, else values (rows,) or (rows, n).

    A `CompilableRuntime`. `predict` is the library's call for an array or a DataFrame; it limits its own
    threads.
    """

    takes_missing = True

    def __init__(
        self,
        spec: ModelSpec,
        table: FeatureTable,
        predict: Callable[[object], Array],
        compiler: Callable[[bool], Compiled],
    ) -> None:
        self._table = table
        self._predict = predict
        self._compiler = compiler
        self._classifies = spec.classifies

    @property
    def features(self) -> list[str]:
        return self._table.features

    def __call__(self, columns: Columns) -> Array:
        table = self._table
        answer = self._predict(table.array(columns) if table.is_numeric else table.frame(columns))
        if self._classifies and answer.ndim == 1:
            return np.stack([1 - answer, answer], axis=1)
        return answer

    def compiled(self, _spec: ModelSpec) -> Compiled:
        if not self._table.is_numeric:
            raise NotCompiledError("texts are categories, which are not compiled")
        return self._compiler(self._classifies)

    def limit_threads(self) -> None:
        """Kernels use a single thread."""

    def rows(self, columns: Columns) -> Array:
        return self._table.array(columns)

    def labelled(self, _columns: Columns, answer: Array, _margin: float = 0.0) -> Array:
        """A label is the most probable class, as in the libraries' own classifiers."""
        return answer


def check_probabilities(spec: ModelSpec, *, classes: int, objective: str, needed: str) -> None:
    """Raises ArtifactError if the booster answers no probabilities of the spec's classes.

    `classes`: the number of classes that it answers; 0: it answers values. `needed`: objectives that
    classify.
    """
    if not spec.classifies:
        return
    if not classes:
        raise ArtifactError(
            f"objective {objective} answers no class probabilities: train with {needed}, or declare outputs "
            'with view = "value"'
        )
    if spec.classes and len(spec.classes) != classes:
        raise ArtifactError(
            f"the model answers {classes} classes, and model.toml declares {len(spec.classes)}: "
            f"{', '.join(spec.classes)}"
        )


def unreadable(artifact: Path, library: str, advice: str, error: Exception) -> ArtifactError:
    """The error for a file that the library cannot read."""
    is_damaged = isinstance(error, UnicodeDecodeError) or _DAMAGE.search(str(error))
    reason = "" if is_damaged else f" ({foreign_words(error)})"
    return ArtifactError(
        f"{artifact.name} is no complete model of {library}{reason}: copy it again, or {advice}"
    )


def made_by_pickle(artifact: Path) -> MadeBy:
    """The origin of a pickled wrapper."""
    pickled = pickled_by(artifact)
    versions = {"scikit-learn": ", ".join(sorted(pickled.sklearn))} if pickled.sklearn else {}
    return MadeBy(versions, modules=frozenset(pickled.modules))
