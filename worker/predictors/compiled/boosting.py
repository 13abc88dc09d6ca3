"""Gradient boosting: its trees grafted onto one, their values added to where it began.

scikit-learn adds what one tree after the other says to an initial raw prediction, then makes probabilities of
the sum. So does this, with the estimator's own beginning and its own loss.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shared.columns import Array
from worker.predictors.compiled.grafting import Fields, graft, walks
from worker.predictors.compiled.kernels import Compiled, NotCompiledError, all_finite, sum_in_order
from worker.predictors.compiled.trees import Graft, as_float32, thresholds_of

_FIELDS = Fields(feature="feature_idx", threshold="num_threshold", left="left", right="right")


def compile_boosting(estimator: Any) -> Compiled:  # Any: scikit-learn publishes no types
    """Raises NotCompiledError where it does not begin with a constant."""
    begins = estimator.init_
    if not (isinstance(begins, str) or type(begins).__name__ in ("DummyClassifier", "DummyRegressor")):
        raise NotCompiledError(f"boosting that begins with {type(begins).__name__} is not compiled")
    trees = [one.tree_ for one in estimator.estimators_.ravel()]
    return Compiled({"one_tree": _Boosting(estimator, trees)}, thresholds_of(trees))


def compile_histogram_boosting(estimator: Any) -> Compiled:
    """Raises NotCompiledError where features are categories."""
    if estimator._preprocessor is not None:
        raise NotCompiledError("categorical features are not compiled")
    nodes = [predictor.nodes for stage in estimator._predictors for predictor in stage]
    return Compiled({"one_tree": _HistogramBoosting(estimator, nodes)}, _thresholds(nodes))


class _Boosting:
    def __init__(self, estimator: Any, trees: list[Any]) -> None:
        self._graft = Graft(trees, weight=estimator.learning_rate)
        self._stages = estimator.estimators_.shape
        no_row = np.zeros((1, estimator.n_features_in_), dtype=np.float32)
        self._begin: Array = estimator._raw_predict_init(no_row)
        self._loss = estimator._loss if hasattr(estimator, "classes_") else None

    def __call__(self, rows: Array) -> Array | None:
        values = as_float32(rows)
        if not all_finite(values):
            return None
        pieces = [_raw(leaves, self._stages, self._begin) for leaves in self._graft.leaves(values)]
        raw: Array = np.concatenate(pieces)
        if self._loss is None:
            return raw[:, 0]
        answer: Array = self._loss.predict_proba(raw[:, 0] if raw.shape[1] == 1 else raw)
        return answer


class _HistogramBoosting:
    """Its trees compare float64 and know missing values: no row is left to the native model."""

    def __init__(self, estimator: Any, nodes: list[Array]) -> None:
        like = estimator._predictors[0][0]
        grafted = graft(nodes, _FIELDS, estimator.n_features_in_).nodes
        self._tree = type(like)(grafted, like.binned_left_cat_bitsets, like.raw_left_cat_bitsets)
        self._categories = estimator._bin_mapper.make_known_categories_bitsets()
        self._stages = (len(estimator._predictors), len(estimator._predictors[0]))
        self._begin: Array = estimator._baseline_prediction
        self._loss = estimator._loss
        self._is_regressor = not hasattr(estimator, "classes_")

    def __call__(self, rows: Array) -> Array:
        values = rows.astype(np.float64, copy=False)
        raw = np.concatenate([self._raw(walk) for walk in walks(values, self._stages[0] * self._stages[1])])
        link = self._loss.link.inverse if self._is_regressor else self._loss.predict_proba
        answer: Array = link(raw.ravel() if self._is_regressor else raw)
        return answer

    def _raw(self, walk: Array) -> Array:
        said = self._tree.predict(walk.reshape(-1, walk.shape[-1]), *self._categories, n_threads=1)
        return _raw(said, self._stages, self._begin)


def _raw(leaves: Array, stages: tuple[int, int], begin: Array) -> Array:
    """(rows, trees of a stage), of what the trees say in their order, each of all rows."""
    by_stage = leaves.reshape(*stages, -1)
    first = np.broadcast_to(begin.T, (1, *by_stage.shape[1:]))
    return sum_in_order(np.concatenate([first, by_stage])).T


def _thresholds(trees: list[Array]) -> dict[int, Array]:
    inner = np.concatenate([nodes[nodes["is_leaf"] == 0] for nodes in trees])
    return {
        int(feature): np.unique(inner["num_threshold"][inner["feature_idx"] == feature])
        for feature in np.unique(inner["feature_idx"])
    }
