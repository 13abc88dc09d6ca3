"""Trees and forests without what scikit-learn does around each tree: joblib, checks, an array a tree.

Two kernels, for scikit-learn's own compiled code walks the trees in both:

    one_tree      All trees are grafted onto one (grafting.py). One call runs every row through every tree.
    tree_by_tree  One call a tree, as scikit-learn has it: for many rows, where walking costs the most.

Leaves' values are added in the order of the trees, as scikit-learn adds them, so answers are the same to the
last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from shared.columns import Array
from worker.predictors.compiled.grafting import MOST_NODES, Fields, graft, walks
from worker.predictors.compiled.kernels import Compiled, Kernel, NotCompiledError, all_finite, sum_in_order

_NO_CHILD = -1
_FIELDS = Fields(feature="feature", threshold="threshold", left="left_child", right="right_child")

Tree = Any  # sklearn.tree._tree.Tree; scikit-learn publishes no types


def compile_trees(estimator: Any) -> Compiled:
    """Of a decision tree or a forest. Raises NotCompiledError."""
    trees = [one.tree_ for one in getattr(estimator, "estimators_", [estimator])]
    if estimator.n_outputs_ != 1:
        raise NotCompiledError("more than one output is not compiled")
    is_regressor = not hasattr(estimator, "classes_")
    kernels: dict[str, Kernel] = {"tree_by_tree": _TreeByTree(trees, is_regressor)}
    if sum(tree.node_count for tree in trees) <= MOST_NODES:
        kernels = {"one_tree": _OneTree(trees, is_regressor)} | kernels
    return Compiled(kernels, thresholds_of(trees))


class _OneTree:
    def __init__(self, trees: Sequence[Tree], is_regressor: bool) -> None:
        self._graft = Graft(trees)
        self._trees = len(trees)
        self._is_regressor = is_regressor

    def __call__(self, rows: Array) -> Array | None:
        values = as_float32(rows)
        if not all_finite(values):
            return None
        pieces = [sum_in_order(leaves) for leaves in self._graft.leaves(values)]
        answer: Array = (pieces[0] if len(pieces) == 1 else np.concatenate(pieces)) / self._trees
        return answer[:, 0] if self._is_regressor else answer


class _TreeByTree:
    def __init__(self, trees: Sequence[Tree], is_regressor: bool) -> None:
        self._trees = trees
        self._is_regressor = is_regressor

    def __call__(self, rows: Array) -> Array | None:
        values = as_float32(rows)
        if not all_finite(values):
            return None
        answer: Array = self._trees[0].predict(values)
        for tree in self._trees[1:]:
            answer += tree.predict(values)
        answer /= len(self._trees)
        return answer[:, 0] if self._is_regressor else answer


class Graft:
    """The trees of scikit-learn's decision trees as one."""

    def __init__(self, trees: Sequence[Tree], *, weight: float = 1.0) -> None:
        """`weight` multiplies what every leaf says. Raises NotCompiledError where the trees are too large."""
        states = [tree.__getstate__() for tree in trees]  # what pickle keeps of a tree
        self._count = len(trees)
        self._tree = _grafted(trees[0], states)
        self._values = _values(states) * weight

    def leaves(self, rows: Array) -> Iterator[Array]:
        """What the trees say of float32 rows: (trees, rows, values), for some rows after the others."""
        for walk in walks(rows, self._count):
            found = self._tree.apply(walk.reshape(-1, walk.shape[-1]))
            said: Array = self._values.take(found, axis=0)
            yield said.reshape(*walk.shape[:2], -1)


def as_float32(rows: Array) -> Array:
    """What scikit-learn's trees compare; what is too large becomes infinity."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(rows, dtype=np.float32)


def thresholds_of(trees: Sequence[Tree]) -> dict[int, Array]:
    """Feature → every threshold that a tree holds of it."""
    inner = [tree.children_left != _NO_CHILD for tree in trees]
    features = np.concatenate([tree.feature[where] for tree, where in zip(trees, inner, strict=True)])
    thresholds = np.concatenate([tree.threshold[where] for tree, where in zip(trees, inner, strict=True)])
    return {int(feature): np.unique(thresholds[features == feature]) for feature in np.unique(features)}


def _grafted(like: Tree, states: Sequence[dict[str, Any]]) -> Tree:
    grafted = graft([state["nodes"] for state in states], _FIELDS, like.n_features)
    tree = type(like)(like.n_features + 1, np.asarray(like.n_classes, dtype=np.intp), like.n_outputs)
    tree.__setstate__(
        {
            "max_depth": grafted.selector_depth + max(state["max_depth"] for state in states),
            "node_count": len(grafted.nodes),
            "nodes": grafted.nodes,
            "values": np.zeros((len(grafted.nodes), *states[0]["values"].shape[1:])),
        }
    )
    return tree


def _values(states: Sequence[dict[str, Any]]) -> Array:
    """What each node of the grafted tree says: (nodes, classes), or (nodes, 1) of a regression."""
    values = np.concatenate([state["values"][:, 0, :] for state in states])
    selector = np.zeros((len(states) - 1, values.shape[1]))
    return np.concatenate([selector, values])
