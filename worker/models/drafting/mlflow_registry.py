"""Models of an MLflow tracking server or of a local `mlruns` folder: `mlflow:/NAME@ALIAS`, `mlflow:/NAME/3`,
`runs:/RUN/PATH`. MLflow itself reads MLFLOW_TRACKING_URI and its credentials.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec

from shared.manifests import digest_of_files, files_in, read_manifest, write_manifest
from shared.safe_texts import foreign_words
from shared.spec_files import SPEC
from shared.temporary_folders import remove_leftovers, temporary_folder
from worker.models.drafting.artifact_facts import DraftError
from worker.models.drafting.new_model import DraftWorker, NewModel, Request, check_request, new_model

_URI = re.compile(r"(?:mlflow|models):/{1,3}(?P<name>[^@/]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")
_RUN = re.compile(r"runs:/{1,3}[^/]+/.+")
FOLDER = "model"
"""Name of the artifact in a version."""
_TEMPORARY = "takt-mlflow-"


def pull_model(
    uri: str, request: Request, models_dir: Path, worker: DraftWorker, step: Callable[[str], None]
) -> NewModel:
    """Make a version from a model of MLflow: <models_dir>/<name>/<version>, with a model.toml of its own.

    `request`: its source is ignored; an empty version becomes `{version in MLflow}.0.0`. Raises DraftError.
    """
    remove_leftovers(_TEMPORARY)
    with temporary_folder(_TEMPORARY) as place:
        step(f"downloading {uri}")
        source, number = _downloaded(uri, place)
        request = replace(request, source=source, version=request.version or f"{number or 1}.0.0")
        check_request(request, place / "drafts")
        target = models_dir / request.name / request.version
        if target.exists() and not request.force:
            raise DraftError(f"{target} exists: choose another --version, or replace it with --force")
        made = new_model(request, place / "drafts", worker, step)
        _place(made.folder, target)
        return replace(made, folder=target.parent)


def _downloaded(uri: str, place: Path) -> tuple[Path, str]:
    """→ the model's directory, and its version in the registry; empty: it has none."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow refuses an `mlruns` folder otherwise
    try:
        from mlflow import MlflowClient, artifacts
    except ModuleNotFoundError as error:
        raise DraftError(f"MLflow is not installed: pip install 'takt-server[mlflow]' ({error})") from None
    found = _URI.fullmatch(uri)
    if found is None and not _RUN.fullmatch(uri):
        raise DraftError(f"{uri} is not mlflow:/NAME@ALIAS, mlflow:/NAME/3 or runs:/RUN/PATH")
    try:
        number = ""
        if found is not None:
            number = found["version"] or str(
                MlflowClient().get_model_version_by_alias(found["name"], found["alias"]).version
            )
            uri = f"models:/{found['name']}/{number}"
        path = Path(artifacts.download_artifacts(artifact_uri=uri, dst_path=str(place / "download")))
    except Exception as error:  # its client raises errors of many libraries
        raise DraftError(f"{uri}: {foreign_words(error)}") from error
    target = place / FOLDER
    shutil.move(path, target)
    (target / "registered_model_meta").unlink(missing_ok=True)  # written by the download, not by training
    return target, number


def _place(home: Path, target: Path) -> None:
    """Move a drafted version to its place. Its model.toml becomes one of its files."""
    version = home / target.name
    shutil.copyfile(home / SPEC, version / SPEC)
    manifest = read_manifest(version, home.name, target.name)
    files = files_in(version)
    write_manifest(
        version,
        msgspec.structs.replace(
            manifest,
            files=files,
            sha256=digest_of_files(manifest.artifact, files),
            size_bytes=sum(file.size_bytes for file in files.values()),
        ),
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    if not (target.parent / SPEC).exists():
        shutil.copyfile(home / SPEC, target.parent / SPEC)
    if target.exists():
        shutil.rmtree(target)
    shutil.move(version, target)
