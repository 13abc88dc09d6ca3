"""Builds the model without training."""

from __future__ import annotations

from pathlib import Path

import joblib

from worker.models.build import Build

from .poisoned import Poisoned


def build(folder: Path) -> Build:
    joblib.dump(Poisoned(), folder / "model.joblib")
    return Build("model.joblib")
