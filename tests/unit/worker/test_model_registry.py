"""The order in which a worker loads its models, and the effect of a failure."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import cast

import pytest

import worker.model_registry
from shared.errors import ArtifactError, ServiceError
from shared.manifests import ArtifactManifest
from shared.repository import ModelVersion, Repository
from shared.settings import Settings
from shared.worker_records import HeldModel, ModelState
from tests.support.engines import predictor
from tests.support.specimens import declaration
from worker.model_registry import ModelRegistry
from worker.predictors import Predictor
from worker.predictors.load_warnings import recorded_warnings

SIZES = {"big": 900, "first": 500, "small": 10, "broken": 20}
"""Bytes of each model's artifact; `first` is the default model."""


class Folder:
    """A repository of models that differ in the size of their artifacts."""

    def __init__(self) -> None:
        self.specs = {name: declaration(name=name) for name in SIZES}
        self.wrong: dict[str, ServiceError] = {}
        self.published: frozenset[str] = frozenset()

    def version(self, name: str, version: str | None = None) -> ModelVersion:
        manifest = ArtifactManifest(
            model=name,
            version=version or "1.0.0",
            artifact="",
            sha256="",
            size_bytes=SIZES[name],
            created_at="",
            frameworks={},
        )
        return ModelVersion(self.specs[name], manifest, Path())


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> ModelRegistry:
    def load(version: ModelVersion, **_: object) -> Predictor:
        if version.spec.name == "broken":
            raise ArtifactError("cannot be loaded")
        return predictor(lambda columns: columns["x"], version.spec.name)

    monkeypatch.setattr(worker.model_registry, "load_predictor", load)
    return ModelRegistry()


def loaded(registry: ModelRegistry, most: int = 100) -> tuple[list[str], bool]:
    """The models in the order in which they were loaded, and whether loading came to its end."""
    names: list[str] = []

    def on_loaded(loaded: Predictor) -> bool:
        names.append(loaded.spec.name)
        return len(names) < most

    ended = registry.load(
        cast(Repository, Folder()), Settings(default_model="first"), on_loaded=on_loaded, reasons="alone"
    )
    return names, ended


def test_the_default_model_is_loaded_first_and_then_small_artifacts_before_large_ones(
    registry: ModelRegistry,
) -> None:
    assert loaded(registry) == (["first", "small", "big"], True)


def test_a_model_that_fails_does_not_end_the_loading(registry: ModelRegistry) -> None:
    loaded(registry)
    states = {key.partition("@")[0]: model.state for key, model in registry.states.items()}
    assert states.pop("broken") is ModelState.FAILED
    assert set(states.values()) == {ModelState.LOADED}


def test_loading_ends_early_if_no_more_is_wanted(registry: ModelRegistry) -> None:
    assert loaded(registry, most=2) == (["first", "small"], False)
    assert registry.states["big@1.0.0"].state is ModelState.LOADING


def test_warnings_of_other_threads_are_not_recorded_with_those_of_a_load() -> None:
    def warn_elsewhere() -> None:
        warnings.warn("of the engine", UserWarning, stacklevel=1)

    with recorded_warnings() as recorded:
        other = threading.Thread(target=warn_elsewhere)
        other.start()
        other.join()
        warnings.warn("of the artifact", UserWarning, stacklevel=1)
    assert recorded.texts == ["UserWarning: of the artifact"]


def test_a_version_that_the_fork_server_opened_later_is_loading_here_until_a_successor_holds_it() -> None:
    registry = ModelRegistry(states={"a@1": HeldModel(state=ModelState.LOADING)})
    failed = HeldModel(state=ModelState.FAILED, reason="wrong")
    registry.update({"a@1": HeldModel(state=ModelState.LOADED), "b@1": failed})
    assert registry.states == {"a@1": HeldModel(state=ModelState.LOADING), "b@1": failed}
