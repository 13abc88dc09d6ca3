"""Built model versions for tests, and their loaders."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import joblib
import msgspec

from shared.columns import Array, Columns
from shared.frameworks import declared
from shared.manifests import SCHEMA, ArtifactManifest, digest_of_files, files_in, sha256_of
from shared.repository import ModelVersion
from shared.specs import ModelSpec
from worker.predictors import Predictor, library_versions, load_predictor
from worker.predictors.outputs import as_columns


def version_of(spec: ModelSpec, estimator: object, folder: Path) -> ModelVersion:
    """Build a version of `spec` under `folder` with `estimator` as its artifact."""
    home = folder / spec.name / "1.0.0"
    home.mkdir(parents=True)
    artifact = home / f"model{declared(spec.framework).suffixes[0]}"
    joblib.dump(estimator, artifact)
    manifest = ArtifactManifest(
        model=spec.name,
        version="1.0.0",
        artifact=artifact.name,
        sha256=sha256_of(artifact),
        size_bytes=artifact.stat().st_size,
        created_at="2026-03-02T06:30:00Z",
        frameworks=library_versions.installed(spec.framework),
    )
    return ModelVersion(spec, manifest, home)


def version_from_file(
    spec: ModelSpec, artifact: Path, folder: Path, beside: Mapping[str, str] | None = None
) -> ModelVersion:
    """A version of `spec` under `folder` whose artifact is a copy of a file or folder.

    `beside`: path → text of further files of the version.
    """
    home = folder / spec.name / "1.0.0"
    home.mkdir(parents=True)
    copy = shutil.copytree if artifact.is_dir() else shutil.copyfile
    copy(artifact, home / artifact.name)
    for name, text in (beside or {}).items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text, encoding="utf-8")
    files = files_in(home)
    made_by = library_versions.made_by(spec.framework, home / artifact.name)
    manifest = ArtifactManifest(
        schema=SCHEMA,
        model=spec.name,
        version="1.0.0",
        artifact=artifact.name,
        sha256=digest_of_files(artifact.name, files),
        size_bytes=sum(file.size_bytes for file in files.values()),
        created_at="2026-03-02T06:30:00Z",
        frameworks=dict(made_by.versions),
        formats=dict(made_by.formats),
        files=files,
    )
    return ModelVersion(spec, manifest, home)


def with_manifest(version: ModelVersion, **changes: Any) -> ModelVersion:
    return replace(version, manifest=msgspec.structs.replace(version.manifest, **changes))


def load(
    version: ModelVersion,
    *,
    device: str = "cpu",
    mismatch: Literal["warn", "refuse"] = "refuse",
    runtime: Literal["auto", "native"] = "auto",
) -> Predictor:
    return load_predictor(version, device=device, threads=1, mismatch=mismatch, runtime=runtime)


def array_of(predictor: Predictor, columns: Columns) -> Array:
    """The answer of a model with outputs of a single array."""
    answer = predictor.predict(columns)
    assert not isinstance(answer, dict)
    return answer


def shown(predictor: Predictor, columns: Columns) -> dict[str, Any]:
    """The values of each output, as the online lane answers them."""
    names = [output.name for output in predictor.spec.outputs]
    return dict(zip(names, as_columns(predictor.spec, predictor.predict(columns)), strict=True))


class Opened:
    """An artifact that leaves a trace when a framework opens it."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self._trace,)
