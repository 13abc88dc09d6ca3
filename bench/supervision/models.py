"""Model repositories for the measurements: a forest of a given size, and many small pipelines."""

from __future__ import annotations

import copy
from pathlib import Path

import joblib
import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shared.manifests import ArtifactManifest, sha256_of, write_manifest
from worker.predictors import library_versions

VERSION = "1.0.0"
_FEATURES = 8
_FITTED = 16
_NODE_BYTES = 64  # of a fitted tree, as held in memory
_DECLARATION = """
name = "{name}"
framework = "scikit-learn"
default_version = "1.0.0"
runtime = "native"

{inputs}
[[outputs]]
name = "y"
view = "value"
"""


def row() -> dict[str, float]:
    return {f"x{n}": 0.5 for n in range(_FEATURES)}


def write_forest(root: Path, name: str, mebibytes: int) -> None:
    """A random forest that takes about this much memory. Beyond `_FITTED`, its trees are copies: fitting more
    would take minutes."""
    rng = np.random.default_rng(1)
    rows = 40_000
    trees = max(1, round(mebibytes * 2**20 / (2 * rows * 0.64 * _NODE_BYTES)))
    fitted = RandomForestRegressor(min(trees, _FITTED), n_jobs=-1, random_state=1)
    fitted.fit(rng.random((rows, _FEATURES)), rng.random(rows))
    own = list(fitted.estimators_)
    fitted.estimators_ += [copy.deepcopy(own[number % len(own)]) for number in range(trees - len(own))]
    fitted.n_estimators = trees
    _write(root, name, fitted)


def write_pipeline(root: Path, name: str, seed: int = 1) -> None:
    """A scaler and a linear model."""
    rng = np.random.default_rng(seed)
    rows = rng.random((200, _FEATURES))
    _write(root, name, make_pipeline(StandardScaler(), Ridge()).fit(rows, rows.sum(axis=1)))


def _write(root: Path, name: str, estimator: object) -> None:
    home = root / name / VERSION
    home.mkdir(parents=True)
    artifact = home / "model.joblib"
    joblib.dump(estimator, artifact)
    manifest = ArtifactManifest(
        model=name,
        version=VERSION,
        artifact=artifact.name,
        sha256=sha256_of(artifact),
        size_bytes=artifact.stat().st_size,
        created_at="2026-03-02T06:30:00Z",
        frameworks=library_versions.installed("scikit-learn"),
    )
    write_manifest(home, manifest)
    inputs = "".join(f'[[inputs]]\nname = "{one}"\ntype = "float"\nexample = 0.5\n\n' for one in row())
    (root / name / "model.toml").write_text(_DECLARATION.format(name=name, inputs=inputs))
