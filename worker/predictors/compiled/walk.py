"""Walks trees node by node, eight rows side by side, so that the memory latency of a row is used by others.

Rows are processed a few hundred at a time, so that they stay in the cache while each tree's nodes pass by.
"""

from __future__ import annotations

import numpy as np

from shared.columns import Array
from worker.predictors.compiled.forest import Forest, Node
from worker.predictors.compiled.kernels import inlined, machine_code

_LANES = 8
_BLOCK_ROWS = 256


class Walk:
    """A forest of trees of any size."""

    def __init__(self, forest: Forest) -> None:
        self._forest = forest

    def add_to(self, answer: Array, features: Array) -> None:
        """`features`: (features, rows) in the thresholds' type; `answer`: (rows, columns) of float64."""
        _walk(features, self._forest, answer)


@machine_code
def _walk(features: Array, forest: Forest, answer: Array) -> None:
    rows = features.shape[1]
    at = np.empty(_LANES, np.uint32)
    for start in range(0, rows, _BLOCK_ROWS):
        stop = min(rows, start + _BLOCK_ROWS)
        for tree in range(len(forest.roots)):
            row = start
            while row + _LANES <= stop:
                at[:] = forest.roots[tree]
                _walk_lanes(features, forest.nodes, row, at)
                for lane in range(_LANES):
                    _add(forest, tree, at[lane], answer[row + lane])
                row += _LANES
            while row < stop:
                leaf = _leaf(features, forest.nodes, row, forest.roots[tree])
                _add(forest, tree, leaf, answer[row])
                row += 1


@inlined
def _walk_lanes(features: Array, nodes: Array, row: int, at: Array) -> None:
    """Move each lane from its node to its leaf."""
    moved = True
    while moved:
        moved = False
        for lane in range(_LANES):
            there = _next(nodes[at[lane]], features, row + lane)
            moved |= there != at[lane]
            at[lane] = there


@inlined
def _leaf(features: Array, nodes: Array, row: int, root: int) -> int:
    here, there = root, _next(nodes[root], features, row)
    while there != here:
        here, there = there, _next(nodes[there], features, row)
    return here


@inlined
def _next(node: Node, features: Array, row: int) -> int:
    value = features[node.feature, row]
    is_right = (value > node.threshold) | (np.isnan(value) & (node.missing_right != 0))
    return node.right if is_right else node.left


@inlined
def _add(forest: Forest, tree: int, leaf: int, answer: Array) -> None:
    for value in range(forest.values.shape[1]):
        answer[forest.columns[tree] + value] += forest.values[leaf, value]
