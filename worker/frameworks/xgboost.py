"""XGBoost: a native model (JSON or UBJSON), or a pickled estimator of `xgboost.sklearn`.

Predictions run on the CPU, also on a worker with a GPU: the answers are the same everywhere.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from shared.columns import Array
from shared.errors import ArtifactError
from shared.specs import ModelSpec
from worker.frameworks.boosters import (
    PICKLES,
    BoosterRuntime,
    check_probabilities,
    made_by_pickle,
    unreadable,
)
from worker.frameworks.feature_table import FeatureTable
from worker.predictors import scikit_learn
from worker.predictors.base import ModelRuntime
from worker.predictors.compiled import Compiled
from worker.predictors.compiled.xgboost_trees import compile_xgboost
from worker.predictors.implementation import MadeBy, ModelFiles
from worker.predictors.pickles import open_pickle

_MOST_PLACES = 64 * 2**20
_PROBABILITIES = "binary:logistic or multi:softprob"
_SAVE = "save it with booster.save_model('model.json') or model.ubj"


def load(spec: ModelSpec, files: ModelFiles, _device: str, threads: int) -> ModelRuntime:
    """Raises ArtifactError if the file is no model, or does not fit the spec."""
    import xgboost

    if files.artifact.name.lower().endswith(PICKLES):
        model = open_pickle(files.artifact)
        is_native = isinstance(model, xgboost.Booster)
        return (runtime_of if is_native else scikit_learn.runtime_of)(spec, model, threads)

    booster = xgboost.Booster({"verbosity": 0})
    try:
        booster.load_model(files.artifact)
    except (xgboost.core.XGBoostError, ValueError) as error:
        raise unreadable(files.artifact, "XGBoost", _SAVE, error) from error
    return runtime_of(spec, booster, threads)


def runtime_of(spec: ModelSpec, booster: Any, threads: int) -> ModelRuntime:  # Any: no types
    """Raises ArtifactError if the booster does not fit the spec."""
    booster.set_param({"nthread": threads})
    _check(spec, booster)
    table = FeatureTable(spec, booster.feature_names, booster.num_features())

    def predict(rows: Any) -> Array:  # Any: an array or a DataFrame
        return np.asarray(booster.inplace_predict(rows, validate_features=False))

    def compiled(as_classes: bool) -> Compiled:
        return compile_xgboost(booster, 0, as_classes=as_classes)

    return BoosterRuntime(spec, table, predict, compiled)


def made_by(artifact: Path) -> MadeBy:
    """XGBoost writes its version into the model."""
    name = artifact.name.lower()
    if name.endswith(PICKLES):
        return made_by_pickle(artifact)
    data = artifact.read_bytes()[:_MOST_PLACES]
    version = _version_in_json(data) if name.endswith(".json") else _version_in_ubjson(data)
    form = "json" if name.endswith(".json") else "ubjson"
    versions = {"xgboost": ".".join(map(str, version))} if version else {}
    return MadeBy(versions, {"xgboost": form})


def _version_in_json(data: bytes) -> list[int]:
    try:
        found = json.loads(data).get("version", [])
    except (ValueError, AttributeError):
        return []
    return found if isinstance(found, list) and all(isinstance(one, int) for one in found) else []


def _version_in_ubjson(data: bytes) -> list[int]:
    """The value of the key `version`: an array of three integers, `[i3 i2 i0` or `[$i#…`."""
    place = data.rfind(b"version[")
    return _integers(data[place + len(b"version[") :][:64]) if place >= 0 else []


def _integers(data: bytes) -> list[int]:
    """Up to three integers of UBJSON, https://ubjson.org."""
    sizes = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q"}
    found: list[int] = []
    at = 0
    if data[:1] == b"#":
        at = 1 + 1 + struct.calcsize(sizes.get(data[1:2], ">b"))
    while len(found) < 3 and (form := sizes.get(data[at : at + 1])):
        size = struct.calcsize(form)
        if len(data) < at + 1 + size:
            return []
        found.append(struct.unpack(form, data[at + 1 : at + 1 + size])[0])
        at += 1 + size
    return found if len(found) == 3 else []


def _check(spec: ModelSpec, booster: Any) -> None:
    learner = json.loads(booster.save_config())["learner"]
    objective = learner["objective"]["name"]
    classes = int(learner["learner_model_param"]["num_class"]) if objective == "multi:softprob" else 0
    if objective == "binary:logistic":
        classes = 2
    if objective == "multi:softmax" and spec.classifies:
        raise ArtifactError(
            "objective multi:softmax answers the class only: train with multi:softprob, which answers the "
            "probabilities of the classes"
        )
    check_probabilities(spec, classes=classes, objective=objective, needed=_PROBABILITIES)
