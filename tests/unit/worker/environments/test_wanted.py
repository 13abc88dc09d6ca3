"""Which process loads a version with an environment."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from shared.environments import LOCK, interpreter_of
from shared.errors import ArtifactError
from shared.manifests import VersionFile, read_manifest, write_manifest
from shared.repository import Repository, open_repository
from shared.settings import Settings
from tests.support.model_folders import write_model
from worker import model_registry
from worker.model_registry import wanted_environments, wanted_versions
from worker.predictors import open_predictor

NAME = "ab" * 8


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(models_dir=tmp_path / "models", environments_dir=tmp_path / "environments")


@pytest.fixture
def repository(settings: Settings) -> Repository:
    """Two models; `earlier` has an environment."""
    write_model(settings.models_dir, "current")
    folder = write_model(settings.models_dir, "earlier")
    manifest = read_manifest(folder, "earlier", "1.0.0")
    lock = {LOCK: VersionFile(1, "ab" * 32)}
    write_manifest(folder, msgspec.structs.replace(manifest, files=lock, manifest_sha256=""))
    return open_repository(settings.models_dir)


def make_environment(settings: Settings) -> None:
    python = interpreter_of(settings.environments_dir, NAME)
    python.parent.mkdir(parents=True)
    python.touch()


def test_a_version_with_an_environment_is_left_to_its_interpreter(
    settings: Settings, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_environment(settings)
    assert wanted_versions(repository, settings, {}) == ["current@1.0.0"]
    assert wanted_environments(repository, settings, {}) == [NAME]
    monkeypatch.setattr(model_registry, "own_environment", lambda: NAME)
    assert wanted_versions(repository, settings, {}) == ["earlier@1.0.0"]
    assert wanted_environments(repository, settings, {}) == []


def test_a_version_whose_environment_is_missing_fails_with_the_command_that_makes_it(
    settings: Settings, repository: Repository
) -> None:
    assert "earlier@1.0.0" in wanted_versions(repository, settings, {})
    assert wanted_environments(repository, settings, {}) == []
    with pytest.raises(ArtifactError, match=r"`takt models build earlier@1\.0\.0` makes it"):
        open_predictor(repository.version("earlier"), device="cpu", threads=1, mismatch="warn")
