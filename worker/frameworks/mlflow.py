"""MLflow: a model directory with its MLmodel file, from the local disk only.

Estimators and boosters are opened by their flavor and served as by their own frameworks: with probabilities,
methods and compiled trees. Other flavors are opened as `python_function` and get a DataFrame, or the only
tensor. Modules of its `code` folder are files of the version, private to it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from shared.columns import Array, Columns
from shared.errors import ArtifactError
from shared.safe_texts import first_of
from shared.specs import ModelSpec
from worker.predictors import scikit_learn
from worker.predictors.answer_selection import MAIN, RawAnswer
from worker.predictors.base import ModelRuntime
from worker.predictors.file_contents import contents_of
from worker.predictors.implementation import MadeBy, ModelFiles
from worker.predictors.pickles import BESIDE, explained
from worker.predictors.scikit_learn import as_frame
from worker.predictors.version_code import VersionCode

_MLMODEL = "MLmodel"
_SMALL_BYTES = 2**20
_DESCRIPTIONS = (".yaml", ".yml", ".txt", ".md", ".json", ".py")
"""Suffixes of files of a folder that are no models."""
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
    model = load_flavor(flavor, folder)
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


def load_flavor(flavor: str, folder: Path, remedy: str = BESIDE) -> Any:  # Any: any library's model
    """The model of a flavor. Opening runs the code in the folder.

    `remedy`: how a missing module is given, see `worker.predictors.pickles`. Raises ArtifactError.
    """
    try:
        return importlib.import_module(f"mlflow.{flavor}").load_model(str(folder))
    except Exception as error:  # a model may raise anything
        raise _explained(folder, error, remedy) from error


def _explained(folder: Path, error: Exception, remedy: str) -> ArtifactError:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found = contents_of(path) if path.stat().st_size < _SMALL_BYTES else None
        if found is not None and not found.frameworks and path.suffix not in _DESCRIPTIONS:
            return ArtifactError(f"{folder.name}/{path.name} is {found.what}: {found.advice}")
    if isinstance(error, FileNotFoundError) and error.filename:
        name = Path(error.filename).name
        return ArtifactError(
            f"{folder.name} lacks the file {name!r}, which MLmodel names: copy the whole folder"
        )
    return explained(folder.name, error, remedy)


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
    except FileNotFoundError as error:
        raise ArtifactError(_without_mlmodel(folder)) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ArtifactError(f"{folder.name}/{_MLMODEL} is no YAML: copy the whole folder again") from error
    if not isinstance(document, dict) or not isinstance(document.get("flavors"), dict):
        raise ArtifactError(f"{folder.name}/{_MLMODEL} names no flavors: copy the whole folder again")
    return document


def _without_mlmodel(folder: Path) -> str:
    inside = sorted(path.parent.relative_to(folder).as_posix() for path in folder.rglob(_MLMODEL))
    if inside:
        return f"{folder.name} is no model of MLflow itself: use the folder {inside[0]!r} in it"
    if (folder / "saved_model.pb").exists():
        return f"{folder.name} is a model of TensorFlow: export it as ONNX, for example with tf2onnx"
    names = first_of(sorted(path.name for path in folder.iterdir()), 4)
    return (
        f"{folder.name} is no model of MLflow, because it has no file {_MLMODEL}, but {names}: give the "
        f"folder that contains {_MLMODEL}, or the trained file itself"
    )


def signature_part(document: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    """The columns or tensors of a signature, which is JSON text. Raises ArtifactError."""
    try:
        found: list[dict[str, Any]] = json.loads((document.get("signature") or {}).get(part) or "[]")
    except (ValueError, AttributeError, TypeError) as error:
        raise ArtifactError(
            f"the {part} of the signature in {_MLMODEL} are no JSON: save the model again with a signature"
        ) from error
    return found


def _flavors(folder: Path) -> dict[str, Any]:
    flavors: dict[str, Any] = document_of(folder)["flavors"]
    return flavors


def _check_signature(spec: ModelSpec, folder: Path) -> None:
    """The columns of the signature are inputs of the spec."""
    columns = signature_part(document_of(folder), "inputs")
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
