"""Trees and forests without scikit-learn's overhead per tree: joblib, checks, an array per tree.

Leaf values are added in the order of the trees, as in scikit-learn, so answers are equal bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import numpy as np

from shared.columns import Array
from worker.predictors.compiled.forest import Forest, Tree, below, forest_of
from worker.predictors.compiled.kernels import Compiled, Kernel, NotCompiledError, all_finite

SklearnTree = Any  # sklearn.tree._tree.Tree; scikit-learn publishes no types

_NO_CHILD = -1


class Trees(Protocol):
    """A forest in executable form."""

    def add_to(self, answer: Array, features: Array, /) -> None: ...


def compile_trees(estimator: Any) -> Compiled:
    """Compile a decision tree or a forest. Raises NotCompiledError."""
    if estimator.n_outputs_ != 1:
        raise NotCompiledError("more than one output is not compiled")
    trees = [one.tree_ for one in getattr(estimator, "estimators_", [estimator])]
    forest = forest_of([tree_of(tree) for tree in trees], trees[0].value.shape[2])
    is_regressor = not hasattr(estimator, "classes_")
    kernels: dict[str, Kernel] = {
        name: _Mean(ways, len(trees), trees[0].value.shape[2], is_regressor)
        for name, ways in ways_to_run(forest).items()
    }
    return Compiled(kernels, thresholds_of(trees))


def ways_to_run(forest: Forest) -> Mapping[str, Trees]:
    """Executable forms by name, each fastest for some forests and calls."""
    from worker.predictors.compiled.quickscorer import QuickScorer
    from worker.predictors.compiled.walk import Walk

    ways: dict[str, Trees] = {"walk": Walk(forest)}
    with suppress(NotCompiledError):  # too many leaves
        ways["quickscorer"] = QuickScorer(forest)
    return ways


def tree_of(tree: SklearnTree, weight: float = 1.0) -> Tree:
    """`weight` multiplies the values of every leaf."""
    number = np.arange(tree.node_count)
    is_leaf = tree.children_left == _NO_CHILD
    return Tree(
        feature=tree.feature,
        threshold=np.where(is_leaf, np.float32(np.inf), below(tree.threshold)),
        left=np.where(is_leaf, number, tree.children_left),
        right=np.where(is_leaf, number, tree.children_right),
        missing_right=np.zeros(tree.node_count, dtype=bool),  # the native model handles missing values
        values=tree.value[:, 0, :] * weight,
    )


def as_float32(rows: Array) -> Array:
    """The values that scikit-learn's trees compare, as (features, rows); too large values become infinity."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(rows.T, dtype=np.float32)


def thresholds_of(trees: Sequence[SklearnTree]) -> dict[int, Array]:
    """Feature → all thresholds of it in the trees."""
    inner = [tree.children_left != _NO_CHILD for tree in trees]
    features = np.concatenate([tree.feature[where] for tree, where in zip(trees, inner, strict=True)])
    thresholds = np.concatenate([tree.threshold[where] for tree, where in zip(trees, inner, strict=True)])
    return {int(feature): np.unique(thresholds[features == feature]) for feature in np.unique(features)}


class _Mean:
    """The mean of the trees' values."""

    def __init__(self, trees: Trees, count: int, width: int, is_regressor: bool) -> None:
        self._trees = trees
        self._count = count
        self._width = width
        self._is_regressor = is_regressor

    def __call__(self, rows: Array) -> Array | None:
        features = as_float32(rows)
        if not all_finite(features):
            return None
        answer = np.zeros((len(rows), self._width))
        self._trees.add_to(answer, features)
        answer /= self._count
        return answer[:, 0] if self._is_regressor else answer
