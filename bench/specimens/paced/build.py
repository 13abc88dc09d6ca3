"""Builds the model without training: version 1.N.0 multiplies its input by 1 + N."""

from __future__ import annotations

from pathlib import Path

import joblib

from worker.models.build import Build

from .pacing import Paced


def build(folder: Path) -> Build:
    factor = 1.0 + int(folder.name.split(".")[1])
    joblib.dump(Paced(factor), folder / "model.joblib")
    return Build("model.joblib")
