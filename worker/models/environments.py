"""The environment in which a version is built or verified."""

from __future__ import annotations

from shared.environments import LOCK, own_environment
from shared.errors import ArtifactError, ModelNotFoundError
from shared.repository import ModelVersion, Repository
from shared.settings import Settings
from worker.environments.making import Environment, Step, lock, make


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
    return make(lock(spec, repository.root / name, settings, step), settings, step)


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


def found_version(repository: Repository, name: str, version: str | None) -> ModelVersion | None:
    """A built version; None: it is wrong or not built, which the command reports."""
    try:
        return repository.version(name, version)
    except (ModelNotFoundError, ArtifactError):
        return None
