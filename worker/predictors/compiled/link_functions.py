"""From the sum of trees to the answer: the functions of XGBoost and LightGBM, in their order and precision.

They run in machine code because numpy's exp differs from the C library's in the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from shared.columns import Array
from worker.predictors.compiled.kernels import machine_code

Link: TypeAlias = Callable[[Array], None]
"""Changes sums (rows, groups) in place."""


def identity(sums: Array) -> None:
    """The sums are the answer."""


@machine_code
def sigmoid_float32(sums: Array) -> None:
    """`Sigmoid` of XGBoost (src/common/math.h)."""
    one, tiny, most = np.float32(1), np.float32(1e-16), np.float32(88.7)
    for row in range(sums.shape[0]):
        for group in range(sums.shape[1]):
            power = min(-sums[row, group], most)
            sums[row, group] = one / (math.exp(power) + one + tiny)


@machine_code
def softmax_float32(sums: Array) -> None:
    """`Softmax` of XGBoost (src/common/math.h): the sum is a double."""
    for row in range(sums.shape[0]):
        most = sums[row].max()
        total = np.float64(0)
        for group in range(sums.shape[1]):
            sums[row, group] = math.exp(sums[row, group] - most)
            total += sums[row, group]
        for group in range(sums.shape[1]):
            sums[row, group] /= np.float32(total)


@machine_code
def exponential(sums: Array) -> None:
    """Poisson, gamma and Tweedie regression."""
    for row in range(sums.shape[0]):
        for group in range(sums.shape[1]):
            sums[row, group] = math.exp(sums[row, group])


@machine_code
def softmax_float64(sums: Array) -> None:
    """`Common::Softmax` of LightGBM (include/LightGBM/utils/common.h)."""
    for row in range(sums.shape[0]):
        most = sums[row].max()
        total = 0.0
        for group in range(sums.shape[1]):
            sums[row, group] = math.exp(sums[row, group] - most)
            total += sums[row, group]
        for group in range(sums.shape[1]):
            sums[row, group] /= total


@machine_code
def _sigmoid_float64(sums: Array, slope: float) -> None:
    for row in range(sums.shape[0]):
        for group in range(sums.shape[1]):
            sums[row, group] = 1.0 / (1.0 + math.exp(-slope * sums[row, group]))


def sigmoid_float64(slope: float) -> Link:
    """`BinaryLogloss::ConvertOutput` of LightGBM."""
    return lambda sums: _sigmoid_float64(sums, slope)


XGBOOST: Mapping[str, Link] = {
    "binary:logistic": sigmoid_float32,
    "reg:logistic": sigmoid_float32,
    "multi:softprob": softmax_float32,
    "count:poisson": exponential,
    "reg:gamma": exponential,
    "reg:tweedie": exponential,
} | dict.fromkeys(
    (
        "binary:logitraw",
        "rank:map",
        "rank:ndcg",
        "rank:pairwise",
        "reg:absoluteerror",
        "reg:pseudohubererror",
        "reg:quantileerror",
        "reg:squarederror",
        "reg:squaredlogerror",
    ),
    identity,
)
"""Objective → link."""
