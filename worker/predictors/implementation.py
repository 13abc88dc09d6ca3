"""The worker's side of a framework: a module that opens the files of a version.

The declaration is in `shared/frameworks/`. `Framework.implementation` names the module; it is imported when
the first model of the framework is built or loaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

from shared.errors import ArtifactError
from shared.frameworks import Framework
from shared.repository import ModelVersion
from shared.specs import ModelSpec
from worker.predictors.base import ModelRuntime
from worker.predictors.model_code import import_beside
from worker.predictors.version_code import VersionCode


@dataclass(frozen=True)
class ModelFiles:
    """The files of a version. All digests were checked."""

    artifact: Path
    version: ModelVersion

    @property
    def folder(self) -> Path:
        """The version's folder, with all its files."""
        return self.version.folder

    @cached_property
    def code(self) -> VersionCode:
        """The modules beside the artifact, and those in the folder `code` of a folder of MLflow."""
        manifest = self.version.manifest
        beside = f"{manifest.artifact}/code/"
        return VersionCode(manifest.model, manifest.version, self.folder, list(manifest.files), beside)

    def import_module(self, module: str) -> ModuleType:
        """A Python module of the version; of the model's folder if the version was built by an older Takt.

        Raises ArtifactError if there is none, and any exception of its code.
        """
        if self.code.has(module):
            return self.code.import_module(module)
        if not self.version.manifest.files:
            return import_beside(self.folder.parent, module)
        raise ArtifactError(
            f"the version has no module {module!r}: put {module.partition('.')[0]}.py beside model.toml and "
            "build it again with `takt models build --force`"
        )


@dataclass(frozen=True)
class MadeBy:
    """What an artifact says about its origin, as far as its format records it."""

    versions: Mapping[str, str] = field(default_factory=dict)  # distribution → version that made it
    formats: Mapping[str, str] = field(default_factory=dict)  # format → version of it
    modules: frozenset[str] = frozenset()  # top-level modules whose classes it contains


class Implementation(Protocol):
    """A module with these functions."""

    def load(self, spec: ModelSpec, files: ModelFiles, device: str, threads: int, /) -> ModelRuntime:
        """Open the artifact on `device` (`cpu` or `cuda:N`); a call may use `threads` CPU threads.

        Raises ArtifactError if it does not fit the spec; its message says what to do. Any other exception is
        reported with its type.
        """

    def made_by(self, artifact: Path, /) -> MadeBy:
        """Read the origin of an artifact without running any code of it. Never raises for a damaged file."""


def implementation_of(framework: Framework) -> Implementation:
    """Raises ArtifactError if a library of the framework is missing, or its module cannot be imported."""
    missing = [library for library in framework.libraries if not _is_there(library.module)]
    if missing:
        raise ArtifactError(
            f"{missing[0].distribution} is not installed in this worker's environment: "
            f"pip install '{framework.install}'"
        )
    try:
        return cast(Implementation, importlib.import_module(framework.implementation))
    except ImportError as error:
        raise ArtifactError(
            f"framework {framework.name!r} cannot be imported from {framework.implementation}: {error}; "
            f"reinstall it: pip install '{framework.install}'"
        ) from error


def import_whole(framework: Framework) -> None:
    """Import what opening and calling a model of this framework imports, once for all forks.

    Raises ArtifactError and ImportError.
    """
    implementation = implementation_of(framework)
    for module in (
        *(one.module for one in framework.libraries),
        *getattr(implementation, "CALLS_IMPORT", ()),
    ):
        importlib.import_module(module)


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
