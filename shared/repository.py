"""The model repository on disk: models, their built versions, and the artifacts.

    models/<name>/model.toml                 the ModelSpec
    models/<name>/build.py                   seeded training: creates the artifact of one version
    models/<name>/<version>/manifest.json    the artifact's file, digest and framework versions
    models/<name>/<version>/<artifact>       opened only after its digest was checked

A version is defined by its manifest: a folder without one was never built.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import msgspec

from shared.errors import ArtifactError, ModelNotFoundError, SpecError
from shared.integrity import digest_of, short
from shared.keys import ModelKey, model_key
from shared.model_identity import ModelIdentity
from shared.specs import VERSION, ModelSpec, load_spec
from shared.texts import did_you_mean, listed, named

MANIFEST = "manifest.json"
_OWN_DIGEST = "manifest_sha256"


class ArtifactManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a build, sufficient to reject any other artifact."""

    model: str
    version: str
    artifact: str  # file name beside the manifest
    sha256: str
    size_bytes: int
    created_at: str  # UTC, RFC 3339
    frameworks: dict[str, str]  # package → version that built the artifact
    metrics: dict[str, float] = {}
    manifest_sha256: str = ""  # of the other fields, see `_digest_of_rest`; empty: written by an older Takt


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
    def artifact(self) -> Path:
        return self.folder / self.manifest.artifact

    def verify(self) -> Path:
        """The artifact's path, after its SHA-256 was compared with the manifest's.

        Raises ArtifactError before a framework has opened anything.
        """
        digest = sha256_of(self.artifact)
        if digest != self.manifest.sha256:
            raise ArtifactError(
                f"{self.artifact}: SHA-256 is {digest[:12]}…, but the manifest has "
                f"{self.manifest.sha256[:12]}…; it was changed after it was built, and is not opened"
            )
        return self.artifact


@dataclass(frozen=True)
class Repository:
    """All models under one folder. Invalid specs are listed in `wrong` and do not hide the valid ones."""

    root: Path
    specs: dict[str, ModelSpec]
    wrong: dict[str, SpecError]

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
        return ModelVersion(spec, _read_manifest(folder, spec.name, version), folder)


def open_repository(root: Path) -> Repository:
    """Read every model.toml under `root`.

    Raises SpecError only if the folder itself is missing.
    """
    if not root.is_dir():
        raise SpecError(f"{root}: there is no such folder (TAKT_MODELS_DIR)")
    specs: dict[str, ModelSpec] = {}
    wrong: dict[str, SpecError] = {}
    for path in sorted(root.glob("*/model.toml")):
        try:
            specs[path.parent.name] = load_spec(path)
        except SpecError as error:
            wrong[path.parent.name] = error
    return Repository(root, specs, wrong)


def is_version(text: str) -> bool:
    """Whether the text is a semantic version."""
    return re.fullmatch(VERSION, text) is not None


def newest_version(versions: Iterable[str]) -> str:
    """The highest version by Semantic Versioning."""
    return max(versions, key=_precedence)


def sha256_of(path: Path) -> str:
    """The digest of a file, in hex. Raises ArtifactError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from error


def write_manifest(folder: Path, manifest: ArtifactManifest) -> None:
    """Write the manifest last: a version without one was never built."""
    fields = msgspec.to_builtins(manifest)
    fields[_OWN_DIGEST] = _digest_of_rest(fields)
    text = msgspec.json.format(msgspec.json.encode(fields), indent=2)
    (folder / MANIFEST).write_bytes(text + b"\n")


def _read_manifest(folder: Path, model: str, version: str) -> ArtifactManifest:
    path = folder / MANIFEST
    try:
        written = path.stat()
        manifest, change = _manifest_as_of(path, written.st_mtime_ns, written.st_size, written.st_ino)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(f"{path}: {error}") from error
    if (manifest.model, manifest.version) != (model, version):
        raise ArtifactError(f"{path}: is of {manifest.model}@{manifest.version}")
    if Path(manifest.artifact).name != manifest.artifact:
        raise ArtifactError(f"{path}: artifact: {manifest.artifact!r} is not the name of a file beside it")
    if change:
        raise ArtifactError(change)
    return manifest


@lru_cache(maxsize=256)
def _manifest_as_of(
    path: Path, _written_ns: int, _size_bytes: int, _inode: int
) -> tuple[ArtifactManifest, str]:
    """→ the manifest, and how it was changed, if it was. Cached: each job reads it, only a build writes
    it."""
    data = path.read_bytes()
    manifest = msgspec.json.decode(data, type=ArtifactManifest)
    return manifest, _change(path, msgspec.json.decode(data))


def _change(path: Path, fields: dict[str, Any]) -> str:
    """How a manifest differs from the written manifest; empty: it does not (Any: JSON).

    The manifest of an older Takt has no digest, and no unknown field either.
    """
    recorded = fields.get(_OWN_DIGEST)
    if recorded is None and fields.keys() <= set(ArtifactManifest.__struct_fields__):
        return ""
    if recorded == (digest := _digest_of_rest(fields)):
        return ""
    return (
        f"{path}: manifest_sha256 is {short(str(recorded or ''))}, but the rest has SHA-256 {short(digest)}; "
        "it was changed after it was built, and is not used: `takt models build --force` builds it again"
    )


def _digest_of_rest(fields: dict[str, Any]) -> str:
    """SHA-256 over the other fields as compact JSON with sorted names."""
    rest = {name: value for name, value in fields.items() if name != _OWN_DIGEST}
    return digest_of(msgspec.json.encode(rest, order="sorted"))


def _precedence(version: str) -> tuple[object, ...]:
    """Order of Semantic Versioning 2.0.0, §11: a pre-release precedes its release."""
    core, _, pre = version.partition("+")[0].partition("-")
    identifiers = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in pre.split(".")] if pre else []
    return (*map(int, core.split(".")), not pre, identifiers)
