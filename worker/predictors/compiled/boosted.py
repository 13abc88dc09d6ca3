"""Boosted trees of XGBoost and LightGBM: a base, the values of all trees in order, and a link."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from shared.columns import Array
from worker.predictors.compiled.forest import Tree, forest_of
from worker.predictors.compiled.kernels import Compiled, Kernel
from worker.predictors.compiled.link_functions import Link
from worker.predictors.compiled.trees import Trees, ways_to_run

Features: TypeAlias = Callable[[Array], Array | None]
"""Rows (rows, features) → what the trees compare, (features, rows); None: rows for the native model."""


@dataclass(frozen=True)
class Shape:
    """The sums of the trees: `columns` has the column that each tree adds to, `base` the start of each."""

    columns: Array
    base: Array
    dtype: np.dtype[Any]


def compile_boosted(
    trees: Sequence[Tree], shape: Shape, link: Link, features: Features, *, as_classes: bool
) -> Compiled:
    """All executable forms. A binary model answers the probabilities of both classes if `as_classes` is set.

    Raises NotCompiledError.
    """
    forest = forest_of(trees, len(shape.base), columns=shape.columns, dtype=shape.dtype)
    base = shape.base.astype(shape.dtype)
    both = as_classes and len(base) == 1
    kernels: dict[str, Kernel] = {
        name: _Boosted(way, base, link, features, both=both) for name, way in ways_to_run(forest).items()
    }
    return Compiled(kernels, _thresholds(trees))


class _Boosted:
    """`both`: answers the probabilities of both classes."""

    def __init__(self, trees: Trees, base: Array, link: Link, features: Features, *, both: bool) -> None:
        self._trees = trees
        self._base = base
        self._link = link
        self._features = features
        self._both = both

    def __call__(self, rows: Array) -> Array | None:
        features = self._features(rows)
        if features is None:
            return None
        sums = np.empty((len(rows), len(self._base)), self._base.dtype)
        sums[:] = self._base
        self._trees.add_to(sums, features)
        self._link(sums)
        if self._both:
            return np.concatenate([1 - sums, sums], axis=1)
        return sums[:, 0] if sums.shape[1] == 1 else sums


def _thresholds(trees: Sequence[Tree]) -> dict[int, Array]:
    """Feature → its decision thresholds."""
    inner = [~tree.is_leaf for tree in trees]
    features = np.concatenate([tree.feature[here] for tree, here in zip(trees, inner, strict=True)])
    values = np.concatenate([tree.threshold[here] for tree, here in zip(trees, inner, strict=True)])
    return {int(feature): np.unique(values[features == feature]) for feature in np.unique(features)}
