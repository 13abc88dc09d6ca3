"""Gradient boosting: the sum of an initial prediction and the values of all trees.

scikit-learn adds the values of the trees in turn to an initial raw prediction, then computes
probabilities from the sum. The kernels do the same, with the estimator's own initial prediction and loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shared.columns import Array
from worker.predictors.compiled.forest import Tree, forest_of
from worker.predictors.compiled.kernels import Compiled, Kernel, NotCompiledError, all_finite
from worker.predictors.compiled.trees import Trees, as_float32, thresholds_of, tree_of, ways_to_run


def compile_boosting(estimator: Any) -> Compiled:  # Any: scikit-learn publishes no types
    """Raises NotCompiledError if the initial prediction is not constant."""
    begins = estimator.init_
    if not (isinstance(begins, str) or type(begins).__name__ in ("DummyClassifier", "DummyRegressor")):
        raise NotCompiledError(f"boosting that begins with {type(begins).__name__} is not compiled")
    found = [one.tree_ for one in estimator.estimators_.ravel()]
    stages = [tree_of(tree, weight=estimator.learning_rate) for tree in found]
    forest = forest_of(stages, estimator.estimators_.shape[1])
    kernels: dict[str, Kernel] = {
        name: _Boosting(estimator, trees) for name, trees in ways_to_run(forest).items()
    }
    return Compiled(kernels, thresholds_of(found))


def compile_histogram_boosting(estimator: Any) -> Compiled:
    """Raises NotCompiledError if it has categorical features."""
    if estimator._preprocessor is not None:
        raise NotCompiledError("categorical features are not compiled")
    nodes = [predictor.nodes for stage in estimator._predictors for predictor in stage]
    forest = forest_of([_tree_of(tree) for tree in nodes], len(estimator._predictors[0]))
    kernels: dict[str, Kernel] = {
        name: _HistogramBoosting(estimator, trees) for name, trees in ways_to_run(forest).items()
    }
    return Compiled(kernels, _thresholds(nodes))


class _Boosting:
    def __init__(self, estimator: Any, trees: Trees) -> None:
        self._trees = trees
        no_row = np.zeros((1, estimator.n_features_in_), dtype=np.float32)
        self._begin: Array = estimator._raw_predict_init(no_row)
        self._loss = estimator._loss if hasattr(estimator, "classes_") else None

    def __call__(self, rows: Array) -> Array | None:
        features = as_float32(rows)
        if not all_finite(features):
            return None
        raw = np.repeat(self._begin, len(rows), axis=0)
        self._trees.add_to(raw, features)
        if self._loss is None:
            return raw[:, 0]
        answer: Array = self._loss.predict_proba(raw[:, 0] if raw.shape[1] == 1 else raw)
        return answer


class _HistogramBoosting:
    """Its trees compare float64 and handle missing values, so no row is left to the native model."""

    def __init__(self, estimator: Any, trees: Trees) -> None:
        self._trees = trees
        self._begin: Array = np.ascontiguousarray(estimator._baseline_prediction, dtype=np.float64)
        self._loss = estimator._loss
        self._is_regressor = not hasattr(estimator, "classes_")

    def __call__(self, rows: Array) -> Array:
        raw = np.repeat(self._begin, len(rows), axis=0)
        self._trees.add_to(raw, np.ascontiguousarray(rows.T, dtype=np.float64))
        link = self._loss.link.inverse if self._is_regressor else self._loss.predict_proba
        answer: Array = link(raw.ravel() if self._is_regressor else raw)
        return answer


def _tree_of(nodes: Array) -> Tree:
    number = np.arange(len(nodes))
    is_leaf = nodes["is_leaf"] != 0
    return Tree(
        feature=nodes["feature_idx"],
        threshold=np.where(is_leaf, np.inf, nodes["num_threshold"]),
        left=np.where(is_leaf, number, nodes["left"]),
        right=np.where(is_leaf, number, nodes["right"]),
        missing_right=nodes["missing_go_to_left"] == 0,
        values=nodes["value"][:, np.newaxis],
    )


def _thresholds(trees: Sequence[Array]) -> dict[int, Array]:
    inner = np.concatenate([nodes[nodes["is_leaf"] == 0] for nodes in trees])
    return {
        int(feature): np.unique(inner["num_threshold"][inner["feature_idx"] == feature])
        for feature in np.unique(inner["feature_idx"])
    }
