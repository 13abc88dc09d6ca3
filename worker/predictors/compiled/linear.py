"""Linear models, with or without scalers, as a few lines of numpy.

The steps are scikit-learn's own, in the same order and types, without its input checks and pandas. Matrices
keep scikit-learn's memory layout, since BLAS adds in another order if the layout differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shared.columns import Array
from worker.predictors.compiled.kernels import Compiled, all_finite


def compile_linear(estimator: Any, scalers: Sequence[Any] = ()) -> Compiled:
    """Compile a linear model, optionally behind StandardScalers. Any: scikit-learn publishes no types."""
    return Compiled({"arrays": _Linear(estimator, scalers)})


class _Linear:
    def __init__(self, estimator: Any, scalers: Sequence[Any]) -> None:
        self._scalers = scalers
        self._weights: Array = estimator.coef_.T
        self._intercept = estimator.intercept_
        self._is_regressor = not hasattr(estimator, "classes_")

    def __call__(self, rows: Array) -> Array | None:
        if not all_finite(rows):
            return None
        for scaler in self._scalers:
            rows = _scaled(scaler, rows)
        if self._scalers and not all_finite(rows):
            return None
        answer = rows @ self._weights + self._intercept
        return answer if self._is_regressor else _probabilities(answer)


def _scaled(scaler: Any, rows: Array) -> Array:
    if not np.issubdtype(rows.dtype, np.floating):
        rows = rows.astype(np.float64)
    if scaler.with_mean:
        rows = rows - scaler.mean_.astype(rows.dtype)
    return rows / scaler.scale_.astype(rows.dtype) if scaler.with_std else rows


def _probabilities(scores: Array) -> Array:
    from scipy.special import expit  # type: ignore[import-untyped]  # publishes no types
    from sklearn.utils.extmath import softmax

    if scores.shape[1] > 1:
        answer: Array = softmax(scores, copy=False)
        return answer
    second = expit(scores[:, 0])
    return np.stack([1 - second, second], axis=1)
