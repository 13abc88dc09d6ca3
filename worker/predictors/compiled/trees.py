"""Trees and forests without what scikit-learn does around each tree: joblib, checks, an array a tree.

Two kernels, for scikit-learn's own compiled code walks the trees in both:

    one_tree      All trees are grafted onto one, below nodes that choose a tree by an added feature, the
                  tree's number. One call then runs every row through every tree.

                                       number ≤ 0.5
                                      ╱            ╲
                                  tree 0       number ≤ 1.5
                                               ╱          ╲
                                           tree 1        tree 2

    tree_by_tree  One call a tree, as scikit-learn has it: for many rows, where walking costs the most.

Leaves' values are added in the order of the trees, as scikit-learn adds them, so answers are the same to the
last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from shared.columns import Array
from worker.predictors.compiled.kernels import Compiled, Kernel, NotCompiledError, all_finite, sum_in_order

_NO_CHILD = -1
MOST_NODES = 1_000_000
"""A grafted tree is a copy of all nodes, 64 bytes each and their values. Larger forests are not grafted."""
_CELLS = 131_072
"""Rows times trees times features of one call into a grafted tree: what is made for it stays in the cache."""

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
    """Many trees as one."""

    def __init__(self, trees: Sequence[Tree], *, weight: float = 1.0) -> None:
        """`weight` multiplies what every leaf says. Raises NotCompiledError where the trees are too large."""
        if sum(tree.node_count for tree in trees) > MOST_NODES:
            raise NotCompiledError(f"more than {MOST_NODES:,} nodes are not copied")
        states = [tree.__getstate__() for tree in trees]  # what pickle keeps of a tree
        self._count = len(trees)
        self._features = trees[0].n_features
        self._values = _values(states) * weight
        self._tree = _grafted(trees[0], states)

    def leaves(self, rows: Array) -> Iterator[Array]:
        """What the trees say of float32 rows: (trees, rows, values), for some rows after the others."""
        step = max(1, _CELLS // (self._count * (self._features + 1)))
        for start in range(0, len(rows), step):
            yield self._leaves(rows[start : start + step])

    def _leaves(self, rows: Array) -> Array:
        walks = np.empty((self._count, len(rows), self._features + 1), dtype=np.float32)
        walks[:, :, :-1] = rows
        walks[:, :, -1] = np.arange(self._count)[:, np.newaxis]
        found = self._tree.apply(walks.reshape(-1, self._features + 1))
        said: Array = self._values.take(found, axis=0)
        return said.reshape(self._count, len(rows), -1)


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
    roots, nodes = _moved(states)
    selector, depth = _selector(roots, states[0]["nodes"].dtype, like.n_features)
    tree = type(like)(like.n_features + 1, np.asarray(like.n_classes, dtype=np.intp), like.n_outputs)
    all_nodes = np.concatenate([selector, *nodes])
    tree.__setstate__(
        {
            "max_depth": depth + max(state["max_depth"] for state in states),
            "node_count": len(all_nodes),
            "nodes": all_nodes,
            "values": np.zeros((len(all_nodes), *states[0]["values"].shape[1:])),
        }
    )
    return tree


def _moved(states: Sequence[dict[str, Any]]) -> tuple[list[int], list[Array]]:
    """The trees' nodes in a row, behind room for the selector. → where each tree begins, and its nodes."""
    roots, moved, start = [], [], len(states) - 1
    for state in states:
        nodes = state["nodes"].copy()
        for child in ("left_child", "right_child"):
            nodes[child][nodes[child] != _NO_CHILD] += start
        roots.append(start)
        moved.append(nodes)
        start += len(nodes)
    return roots, moved


def _selector(roots: Sequence[int], dtype: np.dtype[Any], feature: int) -> tuple[Array, int]:
    """Nodes that lead to the root of the tree whose number `feature` holds. → they, and how deep they go."""
    nodes = np.zeros(len(roots) - 1, dtype=dtype)
    nodes["feature"] = feature
    free = iter(range(len(nodes)))

    def branch(first: int, stop: int) -> tuple[int, int]:
        if stop - first == 1:
            return roots[first], 0
        node, middle = next(free), (first + stop) // 2
        left, left_depth = branch(first, middle)
        right, right_depth = branch(middle, stop)
        nodes["threshold"][node] = middle - 0.5
        nodes["left_child"][node], nodes["right_child"][node] = left, right
        return node, 1 + max(left_depth, right_depth)

    _, depth = branch(0, len(roots))
    return nodes, depth


def _values(states: Sequence[dict[str, Any]]) -> Array:
    """What each node of the grafted tree says: (nodes, classes), or (nodes, 1) of a regression."""
    values = np.concatenate([state["values"][:, 0, :] for state in states])
    selector = np.zeros((len(states) - 1, values.shape[1]))
    return np.concatenate([selector, values])
