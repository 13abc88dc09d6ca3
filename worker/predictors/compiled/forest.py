"""A forest as flat arrays, in the form that the kernels use for all tree classes of scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from shared.columns import Array
from worker.predictors.compiled.kernels import NotCompiledError

MOST_NODES = 10_000_000
"""A forest copies all nodes, 20 or 24 bytes each plus their values. Larger forests are not compiled."""


@dataclass(frozen=True)
class Tree:
    """A tree, by its nodes; the first is the root. A leaf's children are itself."""

    feature: Array
    threshold: Array
    left: Array  # of a node: the next node if value ≤ threshold
    right: Array
    missing_right: Array  # whether a row with a missing value goes right
    values: Array  # (nodes, values): added to the answer by a leaf, float64

    @property
    def is_leaf(self) -> Array:
        is_leaf: Array = self.left == np.arange(len(self.left))
        return is_leaf


class Node(Protocol):
    """A record of `Forest.nodes`."""

    threshold: float
    feature: int
    left: int  # children, and the leaf itself, are indexes from the forest's first node
    right: int
    missing_right: int


class Forest(NamedTuple):
    """Trees, each of which adds its leaf's values to a row of the answer, from its column on.

    A tuple, because compiled code accepts tuples directly.
    """

    nodes: Array  # of all trees, one tree after the other: records, see Node
    roots: Array  # (trees,), uint32
    values: Array  # (nodes, values), float64 or float32
    columns: Array  # (trees,), uint32: the first column of the answer that the tree adds to


def forest_of(
    trees: Sequence[Tree],
    answer_columns: int,
    *,
    columns: Array | None = None,
    dtype: npt.DTypeLike = np.float64,
) -> Forest:
    """Trees with a single value are assigned to the columns of the answer by `columns`, by default in turn,
    as boosting has one tree per column in each stage; trees with more values add all of them. `dtype`: of
    the values and their sum. Raises NotCompiledError if there are too many nodes."""
    sizes = [len(tree.feature) for tree in trees]
    if sum(sizes) > MOST_NODES:
        raise NotCompiledError(f"more than {MOST_NODES:,} nodes are not copied")
    roots = np.cumsum([0, *sizes[:-1]])
    turns = answer_columns // trees[0].values.shape[1]
    return Forest(
        np.concatenate([_nodes(tree, int(root)) for tree, root in zip(trees, roots, strict=True)]),
        roots.astype(np.uint32),
        np.ascontiguousarray(np.concatenate([tree.values for tree in trees]), dtype=dtype),
        (np.arange(len(trees)) % turns if columns is None else columns).astype(np.uint32),
    )


def below(thresholds: Array) -> Array:
    """float64 thresholds as float32 thresholds that split float32 values the same way: never rounded up."""
    with np.errstate(over="ignore"):
        nearest = thresholds.astype(np.float32)
    lower = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest.astype(np.float64) > thresholds, lower, nearest)


def _nodes(tree: Tree, start: int) -> Array:
    """All fields of a step, adjacent in memory. Children are indexes from the forest's first node."""
    fields = [("feature", "u4"), ("left", "u4"), ("right", "u4"), ("missing_right", "u4")]
    nodes = np.empty(len(tree.feature), dtype=[("threshold", tree.threshold.dtype), *fields])
    nodes["threshold"] = tree.threshold
    nodes["feature"] = np.where(tree.is_leaf, 0, tree.feature)
    nodes["left"], nodes["right"] = tree.left + start, tree.right + start
    nodes["missing_right"] = tree.missing_right
    return nodes
