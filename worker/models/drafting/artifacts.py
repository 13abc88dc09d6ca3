"""Recognises trained files, and reads their facts. A framework is imported only for a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from shared.errors import ArtifactError
from shared.frameworks import declared
from worker.models.drafting.facts import DraftError, Facts
from worker.models.drafting.samples import is_table
from worker.predictors.implementation import implementation_of

_PICKLES = (".joblib", ".pkl", ".pickle")
_KNOWN = "a scikit-learn estimator (.joblib, .pkl), XGBoost (.json, .ubj), LightGBM (.txt)"
_READERS = {
    ".json": ("xgboost", "boosters", "xgboost_facts"),
    ".ubj": ("xgboost", "boosters", "xgboost_facts"),
    ".txt": ("lightgbm", "boosters", "lightgbm_facts"),
}
"""Suffix → framework, and the module and function that read the facts."""


def runs_code(path: Path) -> bool:
    """Whether opening the file runs code in it."""
    return path.suffix.lower() in _PICKLES


def facts_of(path: Path) -> Facts:
    """The facts of a trained file. Raises DraftError if it is none, with the reason in plain words."""
    suffix = path.suffix.lower()
    reader = _READERS.get(suffix, ("scikit-learn", "estimators", "facts_of") if runs_code(path) else None)
    if reader is not None:
        return _read(path, *reader)
    if is_table(path):
        raise DraftError(
            f"{path.name} is a table, not a trained model: give the trained file with --from, and the table "
            "with --sample"
        )
    raise DraftError(f"{path.name} is no file of a known framework; known: {_KNOWN}")


def _read(path: Path, framework: str, module: str, function: str) -> Facts:
    """Raises DraftError with the command that installs a framework's missing library."""
    try:
        implementation_of(declared(framework))
    except ArtifactError as error:
        raise DraftError(f"{path.name} is a file of {framework}: {error.detail}") from error
    facts: Callable[[Path], Facts] = getattr(import_module(f"worker.models.drafting.{module}"), function)
    return facts(path)
