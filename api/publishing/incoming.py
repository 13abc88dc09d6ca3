"""An uploaded version: its files, its declaration and its manifest, checked without opening an artifact."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from shared.environments import LOCK
from shared.errors import ArtifactError, InvalidInputError, SpecError
from shared.integrity import short
from shared.keys import ModelKey, model_key
from shared.manifests import (
    MANIFEST,
    SCHEMA,
    ArtifactManifest,
    VersionFile,
    digest_of_files,
    files_in,
    read_manifest,
)
from shared.repository import ModelVersion
from shared.safe_texts import named
from shared.spec_files import SPEC, load_spec
from shared.specs import VERSION, ModelSpec

UPLOADS = "takt-version-"
"""Prefix of the temporary folders of uploads."""


@dataclass(frozen=True)
class Incoming:
    """The files of a version in a folder of this gateway."""

    folder: Path  # <model>/<version>
    spec: ModelSpec
    version: str
    files: Mapping[str, VersionFile]
    manifest: ArtifactManifest | None  # None: the version was not built; a worker finds its artifact

    @property
    def key(self) -> ModelKey:
        return model_key(self.spec.name, self.version)

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files.values())

    def is_the_same_as(self, stored: ModelVersion) -> bool:
        """Whether a stored version has the same content. A version that was built in the store's folder has
        the declaration of its model instead of one of its own."""
        known = dict(stored.manifest.files) or {
            stored.manifest.artifact: VersionFile(stored.manifest.size_bytes, stored.manifest.sha256)
        }
        ours = dict(self.files)
        if SPEC not in known:
            del ours[SPEC]
        return ours == known and self.spec.digest == stored.spec.digest

    def manifest_of(self, known: ArtifactManifest, by: str) -> ArtifactManifest:
        """The manifest to publish. Raises InvalidInputError if `known` names an artifact that is missing."""
        artifact = known.artifact
        if not any(name == artifact or name.startswith(f"{artifact}/") for name in self.files):
            raise InvalidInputError(f"{MANIFEST} names the artifact {named(artifact)}, which was not sent.")
        return msgspec.structs.replace(
            known,
            schema=SCHEMA,
            files=dict(self.files),
            sha256=digest_of_files(artifact, self.files),
            size_bytes=self.size_bytes,
            published_at=now(),
            published_by=by,
        )


def read_incoming(unpacked: Path, model: str, version: str | None) -> Incoming:
    """Read the files of an upload, which lie in `unpacked`; they are moved beside it.

    `version`: the version to publish; None: that of the manifest, else the declaration's default version.
    Raises InvalidInputError.
    """
    if not (unpacked / SPEC).is_file():
        raise InvalidInputError(f"The archive has no {SPEC}, which declares the inputs and outputs.")
    version = version or _stated_version(unpacked) or _declared_version(unpacked)
    if not re.fullmatch(VERSION, version):
        raise InvalidInputError(f"{named(version)} is not a semantic version, such as 1.1.0.")
    folder = unpacked.parent / "files" / model / version
    folder.parent.mkdir(parents=True)
    unpacked.rename(folder)
    spec = _spec(folder)
    manifest = _manifest(folder, model, version)
    files = files_in(folder)
    if manifest is not None:
        _check_files(manifest, files)
    elif spec.environment is not None and LOCK not in files:
        raise InvalidInputError(
            f"{SPEC} declares an [environment], but the archive has no {LOCK}: build the version with "
            f"`takt models build {model}@{version}`, then publish it."
        )
    return Incoming(folder, spec, version, files, manifest)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _stated_version(unpacked: Path) -> str | None:
    try:
        stated = msgspec.json.decode((unpacked / MANIFEST).read_bytes(), type=dict[str, object])
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(f"{MANIFEST}: {error}") from None
    return str(stated.get("version", ""))


def _declared_version(unpacked: Path) -> str:
    try:
        declaration = tomllib.loads((unpacked / SPEC).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{SPEC}: is not TOML: {error}") from None
    return str(declaration.get("default_version", ""))


def _spec(folder: Path) -> ModelSpec:
    """The declaration. Its `name` must be that of the path."""
    try:
        return load_spec(folder / SPEC)
    except SpecError as error:
        raise InvalidInputError(error.detail.replace(f"{folder}/", "")) from None


def _manifest(folder: Path, model: str, version: str) -> ArtifactManifest | None:
    if not (folder / MANIFEST).exists():
        return None
    try:
        return read_manifest(folder, model, version)
    except ArtifactError as error:
        raise InvalidInputError(error.detail.replace(f"{folder}/", "")) from None


def _check_files(manifest: ArtifactManifest, files: Mapping[str, VersionFile]) -> None:
    """Raises InvalidInputError for a missing, changed or additional file."""
    listed = manifest.files or {manifest.artifact: VersionFile(manifest.size_bytes, manifest.sha256)}
    for name, recorded in listed.items():
        sent = files.get(name)
        if sent is None:
            raise InvalidInputError(f"{named(name)} is in {MANIFEST}, but was not sent.")
        if sent.sha256 != recorded.sha256:
            raise InvalidInputError(
                f"{named(name)}: SHA-256 is {short(sent.sha256)}, but {MANIFEST} has "
                f"{short(recorded.sha256)}: it was changed after it was built, or was cut off."
            )
    if further := sorted(files.keys() - listed.keys() - {SPEC}):
        raise InvalidInputError(f"{named(further[0])} is not in {MANIFEST}: build the version again.")
