"""A model in versions that are right, wrong in a few rows, slow, raising, or ending their process.

A row is told by its sepal length, a multiple of 1/2000 from 0 to 10: its number from 0 to 20,000.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shared.repository import open_repository
from tests.support.stack import ROOT

RIGHT, WRONG, RAISING, FATAL, PLAIN, SLOW = "1.0.0", "1.1.0", "1.2.0", "1.3.0", "2.0.0", "2.1.0"
"""RIGHT answers; WRONG differs in 1 of 1000 rows; RAISING raises in 1 of 50; FATAL ends its process at
number 19,501; PLAIN takes 40 ms for a call, and SLOW twice as long."""
STEPS = 2000

_BUILD = """
import joblib

from worker.models.build import Build

from .rule import Rule

def build(folder):
    version = folder.name.partition(".building")[0]
    joblib.dump(Rule(version), folder / "model.joblib")
    return Build("model.joblib")
"""
_RULE = """
import os
import time

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

class Rule(ClassifierMixin, BaseEstimator):
    def __init__(self, version):
        self.version = version
        self.classes_ = np.array([0, 1, 2])

    def predict(self, rows):
        return self.predict_proba(rows).argmax(axis=1)

    def predict_proba(self, rows):
        number = np.round(np.asarray(rows)[:, 0] * 2000).astype(int)
        label = (number > 9000).astype(int)
        if self.version == "1.1.0":
            label[number % 1000 == 7] = 2
        if self.version == "1.2.0" and (number % 50 == 3).any():
            raise ValueError("no such flower")
        if self.version == "1.3.0" and (np.asarray(rows)[:, 0] == 9.7505).any():
            os._exit(7)
        time.sleep({"2.0.0": 0.04, "2.1.0": 0.08}.get(self.version, 0.0))
        found = np.full((len(number), 3), 0.05)
        found[np.arange(len(number)), label] = 0.9
        return found
"""


def build_candidates(folder: Path, versions: Sequence[str]) -> None:
    """Write the model `iris` with these versions into `folder`."""
    from worker.models.build import build_model

    home = folder / "iris"
    home.mkdir(parents=True)
    spec = (ROOT / "models/iris/model.toml").read_text().partition("# Rows with known answers")[0]
    kept = spec.replace("[[inputs]]", "keep_differing_rows = true\n[[inputs]]", 1)
    for name, text in (("model.toml", kept), ("build.py", _BUILD), ("rule.py", _RULE)):
        (home / name).write_text(text)
    for version in versions:
        build_model(open_repository(folder), "iris", version)


def flower(number: int) -> dict[str, float]:
    """The row of this number."""
    return {
        "sepal_length": number / STEPS,
        "sepal_width": 3.0,
        "petal_length": 5.2,
        "petal_width": 2.3,
    }


def is_wrong(number: int) -> bool:
    """Whether WRONG answers the row of this number differently."""
    return number % 1000 == 7
