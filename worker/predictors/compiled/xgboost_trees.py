"""XGBoost's trees: float32 leaf values, added in the order of the trees to the base score.

The trees are read from the model's own JSON. Each value is compared with `<`, as float32.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from shared.columns import Array
from worker.predictors.compiled.boosted import Shape, compile_boosted
from worker.predictors.compiled.forest import Tree
from worker.predictors.compiled.kernels import Compiled, NotCompiledError
from worker.predictors.compiled.link_functions import XGBOOST

_NO_CHILD = -1


def compile_xgboost(booster: Any, iterations: int, *, as_classes: bool) -> Compiled:  # Any: no types
    """Compile the first `iterations` boosting rounds; 0: all. `as_classes`: a binary model answers the
    probabilities of both classes. Raises NotCompiledError."""
    learner = json.loads(booster.save_raw("json"))["learner"]
    ensemble, objective = learner["gradient_booster"], learner["objective"]["name"]
    if ensemble["name"] != "gbtree":
        raise NotCompiledError(f"booster {ensemble['name']} is not compiled")
    if objective not in XGBOOST:
        raise NotCompiledError(f"objective {objective} is not compiled")
    model = ensemble["model"]
    last = model["iteration_indptr"][iterations] if iterations else len(model["trees"])
    trees = [_tree(tree) for tree in model["trees"][:last]]
    base = _base_margins(learner["learner_model_param"], objective)
    shape = Shape(np.array(model["tree_info"][:last]), base, np.dtype(np.float32))
    return compile_boosted(trees, shape, XGBOOST[objective], _features, as_classes=as_classes)


def _tree(tree: dict[str, Any]) -> Tree:  # Any: JSON
    if any(tree.get("split_type", ())):
        raise NotCompiledError("categorical features are not compiled")
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise NotCompiledError("trees with several values in a leaf are not compiled")
    left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
    conditions = np.array(tree["split_conditions"], dtype=np.float32)
    number, is_leaf = np.arange(len(left)), left == _NO_CHILD
    return Tree(
        feature=np.array(tree["split_indices"]),
        # x < t is x ≤ the float32 below t
        threshold=np.where(is_leaf, np.float32(np.inf), np.nextafter(conditions, np.float32(-np.inf))),
        left=np.where(is_leaf, number, left),
        right=np.where(is_leaf, number, right),
        missing_right=np.array(tree["default_left"]) == 0,
        values=np.where(is_leaf, conditions, np.float32(0))[:, np.newaxis],
    )


def _base_margins(parameters: dict[str, str], objective: str) -> Array:
    """The base score of each group as a sum of trees. XGBoost 3 stores a list, earlier releases a number."""
    scores = [np.float32(one) for one in parameters["base_score"].strip("[]").split(",")]
    groups = max(1, int(parameters["num_class"]), int(parameters.get("num_target", 1)))
    return np.array([_margin(score, objective) for score in scores] * (groups // len(scores)), np.float32)


def _margin(score: np.float32, objective: str) -> np.float32:
    match objective:
        case "binary:logistic" | "reg:logistic" | "binary:logitraw":
            return np.float32(-math.log(np.float32(1) / score - np.float32(1)))
        case "count:poisson" | "reg:gamma" | "reg:tweedie":
            return np.float32(math.log(score))
    return score


def _features(rows: Array) -> Array | None:
    """float32, as (features, rows). XGBoost refuses infinity, so such rows are left to it."""
    with np.errstate(over="ignore"):
        features = np.ascontiguousarray(rows.T, dtype=np.float32)
    return None if np.isinf(features).any() else features
