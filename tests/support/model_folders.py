"""Built models in a repository, written without a build. Some of them end the process that unpickles them."""

from __future__ import annotations

import ctypes
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.linear_model import LinearRegression

from shared.manifests import ArtifactManifest, sha256_of, write_manifest
from shared.repository import open_repository
from tests.support.stack import ROOT
from worker.models.build import build_model
from worker.predictors import library_versions

_DECLARATION = """
name = "{name}"
framework = "scikit-learn"
default_version = "{version}"

[[inputs]]
name = "x"
type = "float"
example = 1.0

[[outputs]]
name = "y"
view = "value"
"""
_ENDLESS = "[bytearray(2**26) for _ in iter(int, 1)]"
_CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "segfaults": (ctypes.string_at, (0,)),
    "exits": (os._exit, (3,)),
    "takes_all_memory": (eval, (_ENDLESS,)),
    "hangs": (time.sleep, (3600,)),
}


class _Fatal:
    """An artifact whose unpickling does not end well."""

    def __init__(self, how: str) -> None:
        self._how = how

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _CALLS[self._how]


def build_iris(root: Path, *versions: str) -> Path:
    """Build these versions of the example model iris in a repository of their own."""
    shutil.copytree(ROOT / "models/iris", root / "iris", ignore=shutil.ignore_patterns("1.*"))
    for version in versions:
        build_model(open_repository(root), "iris", version)
    return root


def write_model(
    root: Path, name: str, version: str = "1.0.0", *, unpickles: str = "", mebibytes: int = 0
) -> Path:
    """Write y = 2x, or an artifact that fails as `unpickles` names. → the folder of the version.

    `mebibytes`: memory that the opened model takes beyond its own.
    """
    home = root / name / version
    home.mkdir(parents=True)
    estimator: Any = (
        _Fatal(unpickles) if unpickles else LinearRegression().fit(np.array([[0.0], [1.0]]), [0.0, 2.0])
    )
    if mebibytes:
        estimator.ballast_ = np.ones(mebibytes << 17)
    artifact = home / "model.joblib"
    joblib.dump(estimator, artifact)
    manifest = ArtifactManifest(
        model=name,
        version=version,
        artifact=artifact.name,
        sha256=sha256_of(artifact),
        size_bytes=artifact.stat().st_size,
        created_at="2026-03-02T06:30:00Z",
        frameworks=library_versions.installed("scikit-learn"),
    )
    write_manifest(home, manifest)
    (root / name / "model.toml").write_text(_DECLARATION.format(name=name, version=version))
    return home
