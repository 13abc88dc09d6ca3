"""The environment in which a version is built or verified."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from shared.environments import LOCK, EnvironmentSpec, own_environment
from shared.errors import ArtifactError, ModelNotFoundError
from shared.repository import ModelVersion, Repository
from shared.settings import Settings
from worker.environments.creation import Environment, Step, lock, make


def environment_of_build(
    repository: Repository, name: str, version: str, settings: Settings, step: Step, *, force: bool
) -> Environment | None:
    """The environment for building a version, made if needed: that of an existing version has the existing
    lock, that of a new version is locked now. None: this process builds it.

    Raises ArtifactError, SpecError.
    """
    if own_environment() or name not in repository.specs:
        return None
    if not force and version in repository.versions(name):
        return environment_of_version(repository.version(name, version), settings, step)
    spec = repository.specs[name]
    if spec.environment is None:
        return None
    content = lock(spec.environment, repository.root / name, settings, step, spec=spec)
    return make(content, settings, step)


def environment_of_version(version: ModelVersion, settings: Settings, step: Step) -> Environment | None:
    """The environment of a built version, made if needed. None: this process can open the version.

    Raises ArtifactError.
    """
    if not version.environment or version.environment == own_environment():
        return None
    path = version.folder / LOCK
    try:
        environment = make(path.read_bytes(), settings, step)
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}") from error
    if environment.name != version.environment:
        raise ArtifactError(f"{path}: is not the file in the manifest; build the version again")
    return environment


def environment_of_requirements(requirements: Sequence[str], settings: Settings, step: Step) -> Environment:
    """The environment of a model that is to be made. Raises ArtifactError."""
    try:
        environment = EnvironmentSpec(requirements=tuple(requirements))
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ArtifactError(f"--requirement: {reason}") from error
    return make(lock(environment, Path(), settings, step), settings, step)


def found_version(repository: Repository, name: str, version: str | None) -> ModelVersion | None:
    """A built version; None: it is wrong or not built, which the command reports."""
    try:
        return repository.version(name, version)
    except (ModelNotFoundError, ArtifactError):
        return None
