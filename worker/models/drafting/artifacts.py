"""Recognises trained files, and reads their facts. A framework is imported only for a file of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from shared.errors import ArtifactError
from shared.frameworks import declared
from worker.models.drafting.artifact_facts import DraftError, DraftFacts
from worker.models.drafting.estimators import skops_facts
from worker.models.drafting.sample_tables import is_table
from worker.predictors.file_contents import check_contents, contents_of
from worker.predictors.implementation import implementation_of

_PICKLES = (".joblib", ".pkl", ".pickle")
_SKOPS = ".skops"
_KNOWN = (
    "scikit-learn (.joblib, .pkl, .skops), XGBoost (.json, .ubj), LightGBM (.txt), CatBoost (.cbm), ONNX "
    "(.onnx), PyTorch (.pt2, .pt), and directories of MLflow"
)
_READERS = {
    ".json": ("xgboost", "drafted_boosters", "xgboost_facts"),
    ".ubj": ("xgboost", "drafted_boosters", "xgboost_facts"),
    ".txt": ("lightgbm", "drafted_boosters", "lightgbm_facts"),
    ".cbm": ("catboost", "drafted_boosters", "catboost_facts"),
    ".onnx": ("onnx", "onnx_files", "facts_of"),
    ".pt2": ("pytorch", "drafted_torch", "program_facts"),
    ".pt": ("pytorch", "drafted_torch", "script_facts"),
    ".pth": ("pytorch", "drafted_torch", "script_facts"),
    ".ts": ("pytorch", "drafted_torch", "script_facts"),
}
_READERS |= dict.fromkeys(_PICKLES, ("scikit-learn", "estimators", "facts_of"))
_FOLDER = ("mlflow", "mlflow_folders", "facts_of")
"""Suffix → framework, and the module and function that read the facts."""


_MOST_GRAPH_BYTES = 64 * 2**20
_LOCATION = re.compile(rb"location\x12([\x01-\x7f])")
"""In an ONNX file, before the name of a file with weights: a key, a tag, and the length of the name."""


def runs_code(path: Path) -> bool:
    """Whether opening the file may run code in it."""
    return path.is_dir() or path.suffix.lower() in _PICKLES


def files_beside(path: Path) -> list[Path]:
    """The files beside an ONNX file that hold its weights: the graph names them."""
    if path.suffix.lower() != ".onnx" or path.stat().st_size > _MOST_GRAPH_BYTES:
        return []
    graph = path.read_bytes()
    names = {graph[found.end() :][: found[1][0]] for found in _LOCATION.finditer(graph)}
    files = (path.with_name(name.decode("utf-8", "replace")) for name in names if b"/" not in name)
    return [file for file in files if file.is_file()]


def facts_of(path: Path, trusted: Sequence[str] = ()) -> DraftFacts:
    """The facts of a trained file. Raises DraftError if it is none, with the reason in plain words.

    `trusted`: types that a file of skops may have, beside those that skops trusts.
    """
    suffix = path.suffix.lower()
    reader = _FOLDER if path.is_dir() else _READERS.get(suffix)
    if reader is not None or suffix == _SKOPS:
        _check_contents(path, reader[0] if reader else "scikit-learn")
        return _read(path, *reader) if reader else skops_facts(path, trusted)
    if is_table(path):
        raise DraftError(
            f"{path.name} is a table, not a trained model: give the trained file with --from, and the table "
            "with --sample"
        )
    found = contents_of(path)
    if found is not None:
        raise DraftError(f"{path.name} is {found.what}: {found.advice}")
    raise DraftError(f"{path.name} is no file of a known framework; known: {_KNOWN}")


def _check_contents(path: Path, framework: str) -> None:
    try:
        check_contents(path, framework)
    except ArtifactError as error:
        raise DraftError(error.detail) from error


def _read(path: Path, framework: str, module: str, function: str) -> DraftFacts:
    """Raises DraftError with the command that installs a framework's missing library."""
    try:
        implementation_of(declared(framework))
    except ArtifactError as error:
        raise DraftError(f"{path.name} is a file of {framework}: {error.detail}") from error
    facts: Callable[[Path], DraftFacts] = getattr(import_module(f"worker.models.drafting.{module}"), function)
    return facts(path)
