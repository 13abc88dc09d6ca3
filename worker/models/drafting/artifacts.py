"""Recognises trained files, and reads their facts. A framework is imported only for a file of its own."""

from __future__ import annotations

from pathlib import Path

from worker.models.drafting.facts import DraftError, Facts
from worker.models.drafting.samples import is_table

_PICKLES = (".joblib", ".pkl", ".pickle")
_KNOWN = "a scikit-learn estimator (.joblib, .pkl)"


def runs_code(path: Path) -> bool:
    """Whether opening the file runs code in it."""
    return path.suffix.lower() in _PICKLES


def facts_of(path: Path) -> Facts:
    """The facts of a trained file. Raises DraftError if it is none, with the reason in plain words."""
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        from worker.models.drafting import estimators

        return estimators.facts_of(path)
    if is_table(path):
        raise DraftError(
            f"{path.name} is a table, not a trained model: give the trained file with --from, and the table "
            "with --sample"
        )
    raise DraftError(f"{path.name} is no file of a known framework; known: {_KNOWN}")
