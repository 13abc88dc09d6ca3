"""Gradient boosting: its trees grafted onto one, their values added to where it began.

scikit-learn adds `learning_rate * value` of one tree after the other to an initial raw prediction, then makes
probabilities of the sum. So does this, with the estimator's own beginning and its own loss.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shared.columns import Array
from worker.predictors.compiled.kernels import Compiled, NotCompiledError, all_finite, sum_in_order
from worker.predictors.compiled.trees import Graft, as_float32, thresholds_of


def compile_boosting(estimator: Any) -> Compiled:  # Any: scikit-learn publishes no types
    """Raises NotCompiledError where it does not begin with a constant."""
    begins = estimator.init_
    if not (isinstance(begins, str) or type(begins).__name__ in ("DummyClassifier", "DummyRegressor")):
        raise NotCompiledError(f"boosting that begins with {type(begins).__name__} is not compiled")
    trees = [one.tree_ for one in estimator.estimators_.ravel()]
    return Compiled({"one_tree": _Boosting(estimator, trees)}, thresholds_of(trees))


class _Boosting:
    def __init__(self, estimator: Any, trees: list[Any]) -> None:
        self._graft = Graft(trees, weight=estimator.learning_rate)
        self._stages, self._per_stage = estimator.estimators_.shape
        no_row = np.zeros((1, estimator.n_features_in_), dtype=np.float32)
        self._begin: Array = estimator._raw_predict_init(no_row)
        self._loss = estimator._loss if hasattr(estimator, "classes_") else None

    def __call__(self, rows: Array) -> Array | None:
        values = as_float32(rows)
        if not all_finite(values):
            return None
        pieces = [self._raw(leaves) for leaves in self._graft.leaves(values)]
        raw: Array = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        if self._loss is None:
            return raw[:, 0]
        answer: Array = self._loss.predict_proba(raw[:, 0] if self._per_stage == 1 else raw)
        return answer

    def _raw(self, leaves: Array) -> Array:
        """(rows, trees of a stage) of (trees, rows, 1)."""
        stages = leaves.reshape(self._stages, self._per_stage, -1)
        begin = np.broadcast_to(self._begin.T, (1, *stages.shape[1:]))
        return sum_in_order(np.concatenate([begin, stages])).T
