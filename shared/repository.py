"""The model repository on disk: models, their built versions, and the artifacts.

    models/<name>/model.toml                 the ModelSpec
    models/<name>/build.py                   seeded training: creates the artifact of one version
    models/<name>/<version>/manifest.json    the files, their digests, and the libraries that made them
    models/<name>/<version>/<artifact>       a file or folder, opened only after all digests were checked
    models/<name>/<version>/model.toml       the ModelSpec of this version, if it differs from the model's

A version is defined by its manifest: a folder without one was never built. A model of published versions only
has no model.toml of its own: its ModelSpec is that of its newest version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from shared.environments import environment_of
from shared.errors import ModelNotFoundError, SpecError
from shared.keys import ModelKey, model_key
from shared.manifests import MANIFEST, ArtifactManifest, check_files, read_manifest
from shared.model_identity import ModelIdentity
from shared.safe_texts import did_you_mean, listed, named
from shared.spec_files import SPEC, load_spec
from shared.specs import VERSION, ModelSpec


@dataclass(frozen=True)
class ModelVersion:
    """One built version: its spec, its manifest and its folder."""

    spec: ModelSpec
    manifest: ArtifactManifest
    folder: Path  # models/<name>/<version>

    @property
    def key(self) -> ModelKey:
        return model_key(self.spec.name, self.manifest.version)

    @cached_property
    def identity(self) -> ModelIdentity:
        return ModelIdentity(self.spec.digest, self.manifest.sha256)

    @property
    def environment(self) -> str:
        """The name of its environment; empty: the worker's own."""
        return environment_of(self.manifest)

    @property
    def artifact(self) -> Path:
        return self.folder / self.manifest.artifact

    def verify(self) -> Path:
        """The artifact's path, after the SHA-256 of every file was compared with the manifest's.

        Raises ArtifactError before a framework has opened anything.
        """
        check_files(self.folder, self.manifest)
        return self.artifact


@dataclass(frozen=True)
class Repository:
    """All models under one folder. Invalid specs are listed in `wrong` and do not hide the valid ones."""

    root: Path
    specs: dict[str, ModelSpec]
    wrong: dict[str, SpecError]
    published: frozenset[str] = frozenset()
    """The models without a model.toml of their own: nothing of them is served without a deployment."""

    def spec(self, model: str) -> ModelSpec:
        try:
            return self.specs[model]
        except KeyError:
            known = sorted(self.specs)
            near = did_you_mean(model, known)
            raise ModelNotFoundError(
                f"There is no model {named(model)}; there are: {listed(known)}.{near}"
            ) from None

    def versions(self, model: str) -> list[str]:
        """The built versions of a model, oldest first."""
        folder = self.root / self.spec(model).name
        built = [p.parent.name for p in folder.glob(f"*/{MANIFEST}") if re.fullmatch(VERSION, p.parent.name)]
        return sorted(built, key=_precedence)

    def version(self, model: str, version: str | None = None) -> ModelVersion:
        """A built version; without `version`, the default version.

        Raises ModelNotFoundError if it was never built, ArtifactError if its manifest is unreadable.
        """
        spec = self.spec(model)
        version = version or spec.default_version
        folder = self.root / spec.name / version
        # a client's text becomes part of a path only if it has the form of a version
        if not re.fullmatch(VERSION, version) or not (folder / MANIFEST).is_file():
            versions = self.versions(model)
            built = listed(versions) if versions else "none; `takt models build` makes them"
            near = did_you_mean(version, versions)
            raise ModelNotFoundError(
                f"Model {model!r} has no version {named(version)}; built: {built}.{near}"
            )
        manifest = read_manifest(folder, spec.name, version)
        return ModelVersion(self.spec_of(model, version), manifest, folder)

    def spec_of(self, model: str, version: str) -> ModelSpec:
        """The spec of a version: the model.toml in its folder if there is one, else the model's.

        Raises ModelNotFoundError, SpecError.
        """
        spec = self.spec(model)
        frozen = self.root / spec.name / version / SPEC
        if not re.fullmatch(VERSION, version) or not frozen.is_file():
            return spec
        return load_spec(frozen)


def open_repository(root: Path) -> Repository:
    """Read every model.toml under `root`, and those of published versions.

    Raises SpecError only if the folder itself is missing.
    """
    if not root.is_dir():
        raise SpecError(f"{root}: there is no such folder (TAKT_MODELS_DIR)")
    specs: dict[str, ModelSpec] = {}
    wrong: dict[str, SpecError] = {}
    published = set()
    for home in sorted(path for path in root.iterdir() if not path.name.startswith(".")):
        try:
            if (home / SPEC).is_file():
                specs[home.name] = load_spec(home / SPEC)
            elif (spec := _newest_spec(home)) is not None:
                specs[home.name] = spec
                published.add(home.name)
        except SpecError as error:
            wrong[home.name] = error
    return Repository(root, specs, wrong, frozenset(published))


def _newest_spec(home: Path) -> ModelSpec | None:
    """The spec of a model of published versions only; None: the folder has none. Raises SpecError."""
    versions = [path.parent.name for path in home.glob(f"*/{SPEC}") if (path.parent / MANIFEST).is_file()]
    if not (versions := list(filter(is_version, versions))):
        return None
    newest = newest_version(versions)
    return load_spec(home / newest / SPEC).model_copy(update={"default_version": newest})


def is_version(text: str) -> bool:
    """Whether the text is a semantic version."""
    return re.fullmatch(VERSION, text) is not None


def newest_version(versions: Iterable[str]) -> str:
    """The highest version by Semantic Versioning."""
    return max(versions, key=_precedence)


def _precedence(version: str) -> tuple[object, ...]:
    """Order of Semantic Versioning 2.0.0, §11: a pre-release precedes its release."""
    core, _, pre = version.partition("+")[0].partition("-")
    identifiers = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in pre.split(".")] if pre else []
    return (*map(int, core.split(".")), not pre, identifiers)
