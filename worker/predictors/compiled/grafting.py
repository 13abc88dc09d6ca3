"""Grafting: many trees as one, so that one call runs every row through every tree.

The trees hang below nodes that choose one of them by an added feature, the tree's number:

                           number ≤ 0.5
                          ╱            ╲
                      tree 0       number ≤ 1.5
                                   ╱          ╲
                               tree 1        tree 2

A tree is a structured array of its nodes, the root first, as scikit-learn keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from shared.columns import Array
from worker.predictors.compiled.kernels import NotCompiledError

MOST_NODES = 1_000_000
"""A grafted tree is a copy of all nodes, 64 bytes each and their values. More are not copied."""
_CELLS = 131_072
"""Rows times trees times features of one call into a grafted tree: what is made for it stays in the cache."""


@dataclass(frozen=True)
class Fields:
    """What the fields of a node are called. A leaf's children are -1 or 0, which no child is."""

    feature: str
    threshold: str
    left: str
    right: str


@dataclass(frozen=True)
class Grafted:
    """The nodes of all trees: those that select, then the trees' own, one tree after the other."""

    nodes: Array
    selector_depth: int


def graft(trees: Sequence[Array], fields: Fields, feature: int) -> Grafted:
    """`feature` is the added one's number. Raises NotCompiledError where there are too many nodes."""
    if sum(map(len, trees)) > MOST_NODES:
        raise NotCompiledError(f"more than {MOST_NODES:,} nodes are not copied")
    roots = len(trees) - 1 + np.cumsum([0, *map(len, trees[:-1])])
    selector, depth = _selector([int(root) for root in roots], trees[0].dtype, fields, feature)
    moved = [_moved(tree, fields, int(root)) for tree, root in zip(trees, roots, strict=True)]
    return Grafted(np.concatenate([selector, *moved]), depth)


def walks(rows: Array, trees: int) -> Iterator[Array]:
    """Every row with each tree's number behind it, some rows at a time: (trees, rows, features + 1)."""
    width = rows.shape[1] + 1
    step = max(1, _CELLS // (trees * width))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        walk = np.empty((trees, len(some), width), dtype=rows.dtype)
        walk[:, :, :-1] = some
        walk[:, :, -1] = np.arange(trees)[:, np.newaxis]
        yield walk


def _moved(tree: Array, fields: Fields, start: int) -> Array:
    nodes = tree.copy()
    for child in (fields.left, fields.right):
        nodes[child][nodes[child] > 0] += start
    return nodes


def _selector(
    roots: Sequence[int], dtype: np.dtype[np.void], fields: Fields, feature: int
) -> tuple[Array, int]:
    """Nodes that lead to the root of the tree whose number `feature` holds. → they, and how deep they go."""
    nodes = np.zeros(len(roots) - 1, dtype=dtype)
    nodes[fields.feature] = feature
    free = iter(range(len(nodes)))

    def branch(first: int, stop: int) -> tuple[int, int]:
        if stop - first == 1:
            return roots[first], 0
        node, middle = next(free), (first + stop) // 2
        left, left_depth = branch(first, middle)
        right, right_depth = branch(middle, stop)
        nodes[fields.threshold][node] = middle - 0.5
        nodes[fields.left][node], nodes[fields.right][node] = left, right
        return node, 1 + max(left_depth, right_depth)

    _, depth = branch(0, len(roots))
    return nodes, depth
