"""LightGBM's trees: float64 leaf values, added in the order of the trees.

The trees are read from the model's own text, https://lightgbm.readthedocs.io. A child that is negative is a
leaf. `decision_type` has a bit for a category, a bit for missing values to the left, and two for what is
missing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shared.columns import Array
from worker.predictors.compiled.boosted import Shape, compile_boosted
from worker.predictors.compiled.forest import Tree
from worker.predictors.compiled.kernels import Compiled, NotCompiledError
from worker.predictors.compiled.link_functions import (
    Link,
    exponential,
    identity,
    sigmoid_float64,
    softmax_float64,
)

_CATEGORY, _LEFT = 1, 2
_NOTHING, _ZERO, _NAN = 0, 1, 2
_IS_ZERO = np.float64(np.float32(1e-35))
"""LightGBM's kZeroThreshold: smaller values count as 0."""
_IDENTITIES = {
    "regression",
    "regression_l1",
    "huber",
    "fair",
    "quantile",
    "mape",
    "lambdarank",
    "rank_xendcg",
}
_EXPONENTIALS = {"poisson", "gamma", "tweedie"}


def compile_lightgbm(booster: Any, *, as_classes: bool) -> Compiled:  # Any: lightgbm has no types
    """Compile the trees that `predict` uses. `as_classes`: a binary model answers both probabilities.

    Raises NotCompiledError.
    """
    head, *blocks = booster.model_to_string().split("\n\nend of trees")[0].split("\nTree=")
    header = _fields(head)
    if "average_output" in head.split("\n"):
        raise NotCompiledError("LightGBM's random forests are not compiled")
    trees = [_tree(_fields(block)) for block in blocks]
    groups = int(header["num_tree_per_iteration"])
    shape = Shape(np.arange(len(trees)) % groups, np.zeros(groups), np.dtype(np.float64))
    link = _link(header.get("objective", "custom"))
    return compile_boosted(trees, shape, link, _features, as_classes=as_classes)


def _fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.split("\n") if "=" in line)


def _link(objective: str) -> Link:
    name, *options = objective.split(" ")
    settings = dict(option.split(":", 1) for option in options if ":" in option)
    if name == "binary":
        return sigmoid_float64(float(settings.get("sigmoid", "1")))
    if name == "cross_entropy":
        return sigmoid_float64(1.0)
    if name == "multiclass":
        return softmax_float64
    if name in _EXPONENTIALS:
        return exponential
    if name in _IDENTITIES and "sqrt" not in options:
        return identity
    raise NotCompiledError(f"objective {objective} is not compiled")


def _tree(fields: dict[str, str]) -> Tree:
    if fields.get("is_linear", "0") != "0":
        raise NotCompiledError("linear trees are not compiled")
    leaves = int(fields["num_leaves"])
    values = _numbers(fields["leaf_value"])
    if leaves == 1:
        return _only_leaf(values[0])
    kinds = _numbers(fields["decision_type"]).astype(np.int64)
    thresholds = _numbers(fields["threshold"])
    inner = leaves - 1
    left, right = (_places(fields[side], inner) for side in ("left_child", "right_child"))
    own = np.arange(inner, inner + leaves)
    return Tree(
        feature=np.concatenate([_numbers(fields["split_feature"]).astype(np.int64), np.zeros(leaves, int)]),
        threshold=np.concatenate([thresholds, np.full(leaves, np.inf)]),
        left=np.concatenate([left, own]),
        right=np.concatenate([right, own]),
        missing_right=np.concatenate([_missing_right(kinds, thresholds), np.zeros(leaves, bool)]),
        values=np.concatenate([np.zeros(inner), values])[:, np.newaxis],
    )


def _only_leaf(value: float) -> Tree:
    zero = np.zeros(1, int)
    return Tree(zero, np.array([np.inf]), zero, zero, np.zeros(1, bool), np.array([[value]]))


def _numbers(text: str) -> Array:
    return np.array(text.split(), dtype=np.float64)


def _places(text: str, inner: int) -> Array:
    """Children by node: inner nodes first, then the leaves, which the file numbers −1, −2, …"""
    children = _numbers(text).astype(np.int64)
    return np.where(children < 0, inner + ~children, children)


def _missing_right(kinds: Array, thresholds: Array) -> Array:
    """Whether NaN goes right. Raises NotCompiledError for categories, and if 0 counts as missing."""
    if (kinds & _CATEGORY).any():
        raise NotCompiledError("categorical features are not compiled")
    missing = kinds >> 2
    if (missing == _ZERO).any():
        raise NotCompiledError("zero_as_missing is not compiled")
    return np.where(missing == _NAN, (kinds & _LEFT) == 0, thresholds < 0)  # else NaN counts as 0


def _features(rows: Array) -> Array:
    features = np.ascontiguousarray(rows.T, dtype=np.float64)
    tiny = np.abs(features) <= _IS_ZERO
    return np.where(tiny, 0.0, features) if tiny.any() else features
