"""Evaluates trees of few leaves without walking: each test runs for many rows at once, without branches.

Each leaf of a tree is a bit, the leftmost the lowest. A row starts with all bits set. Each test that sends it
right clears the leaves to its left; the lowest remaining bit is the row's leaf. This is QuickScorer (Lucchese
et al., SIGIR 2015), tree by tree, with rows side by side in vector registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from shared.columns import Array
from worker.predictors.compiled.forest import Forest, Node
from worker.predictors.compiled.kernels import NotCompiledError, inlined, machine_code, trailing_zeros

_BLOCK_ROWS = 256
_WORDS = (np.uint32, np.uint64)


class QuickScorer:
    """A forest of trees of at most 64 leaves each."""

    def __init__(self, forest: Forest) -> None:
        """Raises NotCompiledError if a tree has more leaves."""
        self._tests = _tests_of(forest)

    def add_to(self, answer: Array, features: Array) -> None:
        """`features`: (features, rows) in the thresholds' type; `answer`: (rows, columns) of float64."""
        _score(features, self._tests, answer)


class _Tests(NamedTuple):
    """Every inner node of every tree, tree by tree."""

    nodes: Array  # as in Forest
    remaining: Array  # bits of the leaves that remain if a row goes right
    first: Array  # (trees + 1,): start of each tree's tests, and the end
    first_leaf: Array  # (trees,): start of each tree's leaves
    values: Array  # (leaves, values) of all trees
    columns: Array  # as in Forest


def _tests_of(forest: Forest) -> _Tests:
    word = _word(forest)
    every = int(np.iinfo(word).max)
    trees = [_spans(forest, int(root)) for root in forest.roots]
    inner = np.array([node for tree in trees for node, _, _ in tree.tests], dtype=np.intp)
    lost = [(1 << stop) - (1 << first) for tree in trees for _, first, stop in tree.tests]
    leaves = np.array([leaf for tree in trees for leaf in tree.leaves], dtype=np.intp)
    return _Tests(
        forest.nodes[inner],
        np.array([every ^ bits for bits in lost], dtype=word),
        np.cumsum([0, *(len(tree.tests) for tree in trees)]).astype(np.uint32),
        np.cumsum([0, *(len(tree.leaves) for tree in trees)])[:-1].astype(np.uint32),
        forest.values[leaves],
        forest.columns,
    )


def _word(forest: Forest) -> type[np.unsignedinteger[Any]]:
    """The smallest type with a bit for each leaf of any tree."""
    is_leaf = forest.nodes["left"] == np.arange(len(forest.nodes))
    most = int(np.add.reduceat(is_leaf, forest.roots).max())
    for word in _WORDS:
        if most <= np.iinfo(word).bits:
            return word
    raise NotCompiledError(f"a tree has {most:,} leaves, and a word has 64 bits")


@dataclass(frozen=True)
class _Spans:
    """A tree's leaves from left to right, and for each inner node the range of leaves to its left."""

    leaves: Sequence[int]
    tests: Sequence[tuple[int, int, int]]


def _spans(forest: Forest, root: int) -> _Spans:
    lefts, rights = forest.nodes["left"], forest.nodes["right"]
    leaves: list[int] = []
    tests: list[tuple[int, int, int]] = []
    to_do = [(root, -1)]
    while to_do:
        node, first = to_do.pop()
        if first >= 0:  # all leaves to its left are known
            tests.append((node, first, len(leaves)))
        elif lefts[node] == node:
            leaves.append(node)
        else:
            to_do += [(int(rights[node]), -1), (node, len(leaves)), (int(lefts[node]), -1)]
    return _Spans(leaves, tests)


@machine_code
def _score(features: Array, tests: _Tests, answer: Array) -> None:
    rows = features.shape[1]
    bits = np.empty(_BLOCK_ROWS, tests.remaining.dtype)
    for start in range(0, rows, _BLOCK_ROWS):
        many = min(_BLOCK_ROWS, rows - start)
        for tree in range(len(tests.columns)):
            bits[:many] = ~tests.remaining.dtype.type(0)
            for test in range(tests.first[tree], tests.first[tree + 1]):
                node = tests.nodes[test]
                _test(features[node.feature, start : start + many], node, tests.remaining[test], bits)
            for row in range(many):
                leaf = tests.first_leaf[tree] + trailing_zeros(bits[row])
                for value in range(tests.values.shape[1]):
                    answer[start + row, tests.columns[tree] + value] += tests.values[leaf, value]


@inlined
def _test(column: Array, node: Node, remaining: int, bits: Array) -> None:
    """Two loops with a comparison each, so that both are vectorised."""
    every = ~bits.dtype.type(0)
    if node.missing_right:
        for row in range(len(column)):
            bits[row] &= every if column[row] <= node.threshold else remaining
    else:
        for row in range(len(column)):
            bits[row] &= remaining if column[row] > node.threshold else every
