"""MLflow: a model directory with its MLmodel file, from the local disk only.

Estimators and boosters are opened by their flavor and served as by their own frameworks: with probabilities,
methods and compiled trees. Other flavors are opened as `python_function` and get a DataFrame, or the only
tensor. Modules of its `code` folder are files of the version, private to it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from shared.columns import Array, Columns
from shared.errors import ArtifactError
from shared.safe_texts import first_of, foreign_words
from shared.specs import ModelSpec
from worker.predictors import scikit_learn
from worker.predictors.answer_selection import MAIN, RawAnswer
from worker.predictors.base import ModelRuntime
from worker.predictors.implementation import MadeBy, ModelFiles
from worker.predictors.scikit_learn import as_frame
from worker.predictors.version_code import VersionCode

_MLMODEL = "MLmodel"
_ESTIMATORS = ("sklearn", "xgboost", "lightgbm", "catboost")
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
_VERSIONS = {
    "sklearn": ("scikit-learn", "sklearn_version"),
    "xgboost": ("xgboost", "xgb_version"),
    "lightgbm": ("lightgbm", "lgb_version"),
    "catboost": ("catboost", "catboost_version"),
    "pytorch": ("torch", "pytorch_version"),
}
"""Flavor → the library, and the key of its version."""


def load(spec: ModelSpec, files: ModelFiles, _device: str, threads: int) -> ModelRuntime:
    """Raises ArtifactError if the folder is no model, or does not fit the spec; and any exception of it."""
    flavors = _flavors(files.artifact)
    _check_signature(spec, files.artifact)
    with _quiet_import():
        known = [flavor for flavor in _ESTIMATORS if flavor in flavors]
        if known:
            return _by_flavor(spec, known[0], files.artifact, threads)
        if "python_function" not in flavors:
            raise ArtifactError(
                f"{files.artifact.name} has the flavors {first_of(sorted(flavors))} and no python_function: "
                "save the model again with mlflow.<flavor>.save_model"
            )
        import mlflow.pyfunc

        return _PythonFunction(spec, mlflow.pyfunc.load_model(str(files.artifact)), files.code)


def made_by(artifact: Path) -> MadeBy:
    """The versions in the MLmodel file: of MLflow, of the flavors' libraries, and of Python."""
    try:
        document = document_of(artifact)
    except ArtifactError:
        return MadeBy()
    flavors = document.get("flavors", {})
    made = {
        library: str(flavors[flavor][key])
        for flavor, (library, key) in _VERSIONS.items()
        if isinstance(flavors.get(flavor), dict) and key in flavors[flavor]
    }
    python = (flavors.get("python_function") or {}).get("python_version")
    if python:
        made["python"] = str(python)
    return MadeBy(made, {"mlflow": str(document.get("mlflow_version", "unknown"))})


def _by_flavor(spec: ModelSpec, flavor: str, folder: Path, threads: int) -> ModelRuntime:
    """The runtime of the flavor's own framework."""
    import importlib

    model = importlib.import_module(f"mlflow.{flavor}").load_model(str(folder))
    kind = f"{type(model).__module__}.{type(model).__name__}"
    if kind == "xgboost.core.Booster":
        from worker.frameworks import xgboost

        return xgboost.runtime_of(spec, model, threads)
    if kind == "lightgbm.basic.Booster":
        from worker.frameworks import lightgbm

        return lightgbm.runtime_of(spec, model, threads)
    if kind == "catboost.core.CatBoost":
        from worker.frameworks import catboost

        return catboost.runtime_of(spec, model, threads)
    return scikit_learn.runtime_of(spec, model, threads)


class _PythonFunction:
    """Any other flavor."""

    def __init__(self, spec: ModelSpec, model: Any, code: VersionCode) -> None:  # Any: types need mlflow
        self._model = model
        self._code = code
        self._names = spec.input_names
        self._labels = spec.column_names
        self._tensor = len(spec.inputs) == 1 and bool(spec.inputs[0].shape or spec.inputs[0].image)

    def __call__(self, columns: Columns) -> RawAnswer:
        rows = columns[self._names[0]] if self._tensor else as_frame(columns, self._names, self._labels)
        if not self._code.has_modules:
            return _answers(self._model.predict(rows))
        with self._code.importable():  # a pickled function may import a module of the version when it runs
            return _answers(self._model.predict(rows))


def _answers(answer: Any) -> RawAnswer:
    """A DataFrame or a dict is answers by name."""
    if hasattr(answer, "columns"):
        return {str(name): _values(answer[name]) for name in answer.columns}
    if isinstance(answer, Mapping):
        return {str(name): _values(value) for name, value in answer.items()}
    return {MAIN: _values(answer)}


def _values(answer: Any) -> Array:
    return np.asarray(answer.to_numpy() if hasattr(answer, "to_numpy") else answer)


def document_of(folder: Path) -> dict[str, Any]:  # Any: YAML
    """The file MLmodel of a directory. Raises ArtifactError."""
    import yaml

    try:
        document = yaml.safe_load((folder / _MLMODEL).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ArtifactError(
            f"{folder.name} is no folder of an MLflow model ({foreign_words(error)}): copy the whole folder "
            "that contains MLmodel"
        ) from error
    if not isinstance(document, dict) or not isinstance(document.get("flavors"), dict):
        raise ArtifactError(f"{folder.name}/{_MLMODEL} names no flavors: copy the whole folder again")
    return document


def _flavors(folder: Path) -> dict[str, Any]:
    flavors: dict[str, Any] = document_of(folder)["flavors"]
    return flavors


def _check_signature(spec: ModelSpec, folder: Path) -> None:
    """The columns of the signature are inputs of the spec."""
    import json

    signature = document_of(folder).get("signature") or {}
    columns = json.loads(signature.get("inputs") or "[]")
    names = [column["name"] for column in columns if column.get("type") != "tensor" and "name" in column]
    required = [c["name"] for c in columns if "name" in c and c.get("required", True)]
    lacking = [name for name in required if name in names and spec.input_of_column(name) is None]
    if lacking:
        raise ArtifactError(
            f"the model's signature has the column {lacking[0]!r}, which is no input of model.toml: declare "
            f"it, with column = {lacking[0]!r} if its name for clients differs"
        )


@contextmanager
def _quiet_import() -> Iterator[None]:
    """MLflow reports its use to the internet and extends `sys.path`; neither happens here."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    path = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = path
