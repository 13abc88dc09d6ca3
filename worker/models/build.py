"""Builds a model version: runs the model's build.py, or takes the files beside model.toml, and stores them,
completely or not at all.

The artifact is written into a temporary folder beside the version's folder, the manifest last; then the
folder is renamed. If the builder dies, the temporary folder remains; its name is no version, so it is
ignored.
"""

from __future__ import annotations

import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from shared.environments import LOCK, own_environment
from shared.errors import ArtifactError
from shared.manifests import (
    MANIFEST,
    SCHEMA,
    ArtifactManifest,
    digest_of_files,
    files_in,
    write_manifest,
)
from shared.repository import ModelVersion, Repository
from shared.spec_files import SPEC, load_spec
from shared.specs import VERSION, ModelSpec
from worker.models.gathered_files import Build, artifact_in, gather
from worker.predictors import library_versions
from worker.predictors.file_contents import check_contents
from worker.predictors.model_code import BUILDER, import_beside, imported_by

__all__ = ["Build", "build_model", "complete_version", "write_version"]


def build_model(
    repository: Repository, name: str, version: str | None = None, *, force: bool = False
) -> ModelVersion:
    """Build a version, by default the model's default version. An existing build is kept unless `force` is
    set.

    Raises SpecError, ModelNotFound, or ArtifactError if build.py fails or no file is an artifact.
    """
    if name in repository.wrong:
        raise repository.wrong[name]
    spec = repository.spec(name)
    version = version or spec.default_version
    if not re.fullmatch(VERSION, version):
        raise ArtifactError(f"{name}: {version!r} is not a semantic version")
    if not force and version in repository.versions(name):
        return repository.version(name, version)
    home = repository.root / name
    with _folder_beside(home, version) as folder:
        build = _run(home, folder) if (home / BUILDER).exists() else gather(spec, home, folder)
        check_contents(folder / build.artifact, spec.framework)
        _copy_code(home, folder)
        copy_lock(folder)
        write_version(spec, version, folder, build)
        _put(folder, home / version, force=force)
    return repository.version(name, version)


def _run(home: Path, folder: Path) -> Build:
    try:
        build = import_beside(home, BUILDER.removesuffix(".py")).build(folder)
    except (Exception, SystemExit) as error:  # code of the model
        raise ArtifactError(f"{home / BUILDER}: {type(error).__name__}: {error}") from error
    if not isinstance(build, Build) or not (folder / build.artifact).exists():
        raise ArtifactError(f"{home / BUILDER}: build() must write an artifact and return a Build naming it")
    return build


def write_version(spec: ModelSpec, version: str, folder: Path, build: Build) -> ModelVersion:
    """Write the manifest of a folder with all files of a version."""
    manifest = _manifest(spec, version, folder, build)
    write_manifest(folder, manifest)
    return ModelVersion(spec, manifest, folder)


def complete_version(folder: Path) -> None:
    """Write the manifest of a folder that holds the files of a version, unless it has one.

    Raises SpecError, or ArtifactError if no file, or more than one, is an artifact.
    """
    if not (folder / MANIFEST).exists():
        spec = load_spec(folder / SPEC)
        write_version(spec, folder.name, folder, artifact_in(spec, folder))


def _manifest(spec: ModelSpec, version: str, folder: Path, build: Build) -> ArtifactManifest:
    files = files_in(folder)
    origin = library_versions.made_by(spec.framework, folder / build.artifact, imported_by(folder.parent))
    return ArtifactManifest(
        schema=SCHEMA,
        model=spec.name,
        version=version,
        artifact=build.artifact,
        sha256=digest_of_files(build.artifact, files),
        size_bytes=sum(file.size_bytes for file in files.values()),
        created_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        frameworks=dict(origin.versions) | build.frameworks,
        formats=dict(origin.formats),
        metrics=build.metrics,
        files=files,
    )


def _copy_code(home: Path, folder: Path) -> None:
    """The modules beside model.toml become files of the version. build.py may have written its own."""
    for path in home.glob("*.py"):
        if path.name != BUILDER and not (folder / path.name).exists():
            shutil.copyfile(path, folder / path.name)


def copy_lock(folder: Path) -> None:
    """The lock of the environment that makes a version becomes a file of the version."""
    if own_environment():
        shutil.copyfile(Path(sys.prefix) / LOCK, folder / LOCK)


@contextmanager
def _folder_beside(home: Path, version: str) -> Iterator[Path]:
    folder = home / f"{version}.building-{secrets.token_hex(4)}"  # four numbers, so not a semantic version
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put(folder: Path, target: Path, *, force: bool) -> None:
    """Rename a finished folder to its version. An existing version is kept unless `force` is set."""
    built = target / MANIFEST
    if target.exists() and (force or not built.exists()):
        old = target.rename(folder.with_name(f"{folder.name}.old"))
        folder.rename(target)
        shutil.rmtree(old)
        return
    try:
        folder.rename(target)
    except OSError:
        if not built.exists():
            raise
