"""The manifest of a built version: its files with their digests, and the libraries that made the artifact.

A manifest of schema 1 has only the artifact, which is a single file. Schema 2 lists all files of the version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from shared.errors import ArtifactError
from shared.integrity import digest_of, short

MANIFEST = "manifest.json"
SCHEMA = 2
_OWN_DIGEST = "manifest_sha256"
_CACHE = "__pycache__"


class VersionFile(msgspec.Struct, frozen=True):
    """A file of a version."""

    size_bytes: int
    sha256: str


class ArtifactManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a build, sufficient to reject any other artifact."""

    schema: int = 1
    model: str
    version: str
    artifact: str  # name of the file or folder beside the manifest
    sha256: str  # of the artifact; of the list of files if there are more, see `digest_of_files`
    size_bytes: int  # of all files
    created_at: str  # UTC, RFC 3339
    frameworks: dict[str, str]  # package → version that made the artifact, as far as known
    formats: dict[str, str] = {}  # format → version in which the artifact is written
    metrics: dict[str, float] = {}
    files: dict[str, VersionFile] = {}  # path from the version's folder, with `/` → file; schema 1: empty
    published_at: str = ""  # UTC, RFC 3339; empty: it was not published through a gateway
    published_by: str = ""  # owner of the API key
    manifest_sha256: str = ""  # of the other fields, see `_digest_of_rest`; empty: written by an older Takt


def sha256_of(path: Path) -> str:
    """The digest of a file, in hex. Raises ArtifactError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from error


def files_in(folder: Path) -> dict[str, VersionFile]:
    """All files of a version's folder. Hidden files, caches of Python and the manifest are no files of it."""
    return {name: VersionFile(path.stat().st_size, sha256_of(path)) for name, path in _paths(folder)}


def digest_of_files(artifact: str, files: Mapping[str, VersionFile]) -> str:
    """The digest of a version: that of its artifact if this is the only file, else of names and digests."""
    if files.keys() == {artifact}:
        return files[artifact].sha256
    return digest_of(msgspec.json.encode({name: file.sha256 for name, file in files.items()}, order="sorted"))


def check_files(folder: Path, manifest: ArtifactManifest) -> None:
    """Compare the files of a version with its manifest.

    Raises ArtifactError for a missing, changed or additional file, before a framework has opened anything.
    """
    if not manifest.files:
        _check_file(folder / manifest.artifact, VersionFile(manifest.size_bytes, manifest.sha256))
        return
    for name, file in manifest.files.items():
        _check_file(folder / name, file)
    if unlisted := [path for name, path in _paths(folder) if name not in manifest.files]:
        raise ArtifactError(
            f"{unlisted[0]}: is not in {MANIFEST}, and nothing of the version is opened: remove the file, or "
            "build the version again with `takt models build --force`"
        )


def write_manifest(folder: Path, manifest: ArtifactManifest) -> None:
    """Write the manifest last: a version without one was never built."""
    (folder / MANIFEST).write_bytes(encode_manifest(manifest))


def encode_manifest(manifest: ArtifactManifest) -> bytes:
    """The text of a manifest, with its own digest."""
    fields = msgspec.to_builtins(manifest)
    fields[_OWN_DIGEST] = _digest_of_rest(fields)
    return msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n"


def read_manifest(folder: Path, model: str, version: str) -> ArtifactManifest:
    """Raises ArtifactError if it is unreadable, changed, or of another version."""
    path = folder / MANIFEST
    try:
        written = path.stat()
        manifest, change = _manifest_as_of(path, written.st_mtime_ns, written.st_size, written.st_ino)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(
            f"{path}: is no complete manifest ({error}): build the version again with `takt models build "
            "--force`"
        ) from error
    if (manifest.model, manifest.version) != (model, version):
        raise ArtifactError(f"{path}: is of {manifest.model}@{manifest.version}")
    if Path(manifest.artifact).name != manifest.artifact:
        raise ArtifactError(f"{path}: artifact: {manifest.artifact!r} is not the name of a file beside it")
    if outside := [name for name in manifest.files if not _is_inside(name)]:
        raise ArtifactError(f"{path}: files: {outside[0]!r} is not a path inside the version's folder")
    if change:
        raise ArtifactError(change)
    return manifest


def _check_file(path: Path, recorded: VersionFile) -> None:
    if not path.exists():
        raise ArtifactError(
            f"{path}: is missing, and {MANIFEST} names it: copy it again, or build the version again with "
            "`takt models build --force`"
        )
    digest = sha256_of(path)
    if digest == recorded.sha256:
        return
    size_bytes = path.stat().st_size
    cause = (
        f"is incomplete: it has {size_bytes:,} of {recorded.size_bytes:,} bytes; copy it again"
        if size_bytes < recorded.size_bytes
        else "was changed after it was built; restore it, or build it again with `takt models build --force`"
    )
    raise ArtifactError(
        f"{path}: is not opened: SHA-256 is {short(digest)}, but the manifest has {short(recorded.sha256)}; "
        f"the file {cause}"
    )


def _paths(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and is_file_of_version(name) and name != MANIFEST:
            yield name, path


def is_file_of_version(name: str) -> bool:
    """Whether a path in a version's folder is no hidden file and no cache of Python."""
    return not any(part.startswith(".") or part == _CACHE for part in PurePosixPath(name).parts)


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


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
