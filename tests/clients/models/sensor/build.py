"""Trains an isolation forest on drawn readings."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
from sklearn.ensemble import IsolationForest

from worker.models.build import Build


def build(folder: Path) -> Build:
    rng = np.random.default_rng(5)
    readings = np.column_stack([rng.normal(20, 2, 300), rng.normal(1500, 100, 300)])
    joblib.dump(IsolationForest(random_state=5, n_estimators=20).fit(readings), folder / "model.joblib")
    return Build("model.joblib")
