"""LightGBM: a native model as text, or a pickled estimator of `lightgbm.sklearn`."""

from __future__ import annotations

import re
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
from worker.predictors.compiled.lightgbm_trees import compile_lightgbm
from worker.predictors.implementation import MadeBy, ModelFiles
from worker.predictors.pickles import open_pickle

_HEAD_BYTES = 4096
_FORMAT = re.compile(rb"^version=(\S+)$", re.MULTILINE)
_SAVE = "save it with booster.save_model('model.txt')"


def load(spec: ModelSpec, files: ModelFiles, _device: str, threads: int) -> ModelRuntime:
    """Raises ArtifactError if the file is no model, or does not fit the spec."""
    import lightgbm

    if files.artifact.name.lower().endswith(PICKLES):
        model = open_pickle(files.artifact)
        is_native = isinstance(model, lightgbm.Booster)
        return (runtime_of if is_native else scikit_learn.runtime_of)(spec, model, threads)

    text = _checked_text(files.artifact)
    try:
        booster = lightgbm.Booster(model_str=text)
    except Exception as error:  # lightgbm raises several types for a damaged file
        raise unreadable(files.artifact, "LightGBM", _SAVE, error) from error
    return runtime_of(spec, booster, threads)


def runtime_of(spec: ModelSpec, booster: Any, threads: int) -> ModelRuntime:  # Any: no types
    """Raises ArtifactError if the booster does not fit the spec."""
    _check(spec, booster)
    table = FeatureTable(spec, booster.feature_name(), booster.num_feature())

    def predict(rows: Any) -> Array:  # Any: an array or a DataFrame
        return np.asarray(booster.predict(rows, num_threads=threads))

    def compiled(as_classes: bool) -> Compiled:
        return compile_lightgbm(booster, as_classes=as_classes)

    return BoosterRuntime(spec, table, predict, compiled)


def made_by(artifact: Path) -> MadeBy:
    """LightGBM writes the version of the format into the model, and none of itself."""
    if artifact.name.lower().endswith(PICKLES):
        return made_by_pickle(artifact)
    with artifact.open("rb") as file:
        found = _FORMAT.search(file.read(_HEAD_BYTES))
    return MadeBy(formats={"lightgbm text": found.group(1).decode("ascii", "replace")} if found else {})


def _checked_text(artifact: Path) -> str:
    """LightGBM ends the process or reads silently fewer trees if a file is cut off, so this looks first."""
    text = artifact.read_text(encoding="utf-8", errors="replace")
    if not text.startswith("tree\n"):
        raise ArtifactError(f"{artifact.name} is no model of LightGBM as text: {_SAVE}")
    if "\nend of trees" not in text:
        raise ArtifactError(f"{artifact.name} is cut off before its last tree: copy it again, or {_SAVE}")
    return text


def _check(spec: ModelSpec, booster: Any) -> None:
    found = re.search(r"^objective=(\S+)", booster.model_to_string(num_iteration=1), re.MULTILINE)
    objective = found.group(1) if found else "custom"
    classes = {"binary": 2, "multiclass": booster.num_model_per_iteration()}.get(objective, 0)
    check_probabilities(spec, classes=classes, objective=objective, needed="binary or multiclass")
