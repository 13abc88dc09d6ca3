"""The files of a model version in a folder, and its archive: a plain tar file."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from takt.bodies import PIECE_BYTES, Body
from takt.errors import InvalidInput, TryLater
from takt.records import Json

MANIFEST, SPEC = "manifest.json", "model.toml"
PUBLISH_WAIT_S = 20
"""How long an answer waits for the verification; then the state is looked up."""
LOOK_EVERY_S = 1.0
_MEDIA_TYPE = "application/x-tar"
_VERSION = re.compile(r"\d+\.\d+\.\d+(?:[-+].+)?")
_BLOCK_BYTES = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class VersionFiles:
    """The files of a version that are sent, by their names in it."""

    model: str
    version: str | None  # None: the service takes that of model.toml
    files: Mapping[str, Path]


def version_in(folder: Path, *, model: str | None = None, version: str | None = None) -> VersionFiles:
    """The version in a folder: a built version with its manifest.json, or model.toml with the trained file.

    Raises ValueError if the folder holds no version, OSError.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder")
    spec = next((path for path in (folder / SPEC, folder.parent / SPEC) if path.is_file()), None)
    if (folder / MANIFEST).is_file():
        manifest = json.loads((folder / MANIFEST).read_bytes())
        names = manifest.get("files") or {manifest["artifact"]: {}}
        files = {name: folder / name for name in (MANIFEST, *names)}
        return _with_spec(spec, files, model or manifest["model"], version or manifest["version"], folder)
    if spec is None or spec.parent != folder:
        raise ValueError(f"{folder}: has neither {MANIFEST} nor {SPEC}")
    declared = tomllib.loads(spec.read_text(encoding="utf-8"))
    number = version or str(declared.get("default_version", ""))
    if (folder / number / MANIFEST).is_file():  # a model's folder with built versions
        return version_in(folder / number, model=model, version=version)
    if (folder / "build.py").is_file():
        raise ValueError(
            f"{folder}: {number} is not built: takt models build {declared.get('name')}@{number}"
        )
    files = {path.relative_to(folder).as_posix(): path for path in _beside(folder)}
    return _with_spec(spec, files, model or str(declared.get("name")), version, folder)


def _beside(folder: Path) -> Iterator[Path]:
    """The files of a model without a build.py: no built version, no hidden file, no cache."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        if path.is_file() and not hidden and not _VERSION.fullmatch(parts[0]):
            yield path


def _with_spec(
    spec: Path | None, files: dict[str, Path], model: str, version: str | None, folder: Path
) -> VersionFiles:
    if spec is None:
        raise ValueError(f"{folder}: has no {SPEC}, and neither has the folder above")
    return VersionFiles(model, version, {SPEC: spec} | files)


def archive_body(version: VersionFiles) -> Body:
    """The archive as the body of a request. Raises OSError if a file cannot be read."""
    sizes = {name: path.stat().st_size for name, path in version.files.items()}
    length = sum(len(_head(name, size)) + size + -size % _BLOCK_BYTES for name, size in sizes.items())
    return Body(lambda: _pieces(version.files, sizes), _MEDIA_TYPE, length_bytes=length + 2 * _BLOCK_BYTES)


def _pieces(files: Mapping[str, Path], sizes: Mapping[str, int]) -> Iterator[bytes]:
    for name, path in files.items():
        yield _head(name, sizes[name])
        left = sizes[name]
        with path.open("rb") as file:
            while left and (piece := file.read(min(PIECE_BYTES, left))):
                left -= len(piece)
                yield piece
        if left:
            raise OSError(f"{path} became shorter while it was sent")
        yield bytes(-sizes[name] % _BLOCK_BYTES)
    yield bytes(2 * _BLOCK_BYTES)


def _head(name: str, size_bytes: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size_bytes, 0o644
    return info.tobuf(tarfile.PAX_FORMAT)


def unpack_version(archive: Path, folder: Path) -> Path:
    """Write the files of an archive to a folder that does not exist. → the folder

    Raises ValueError if a file differs from the manifest, or the folder exists; OSError.
    """
    if folder.exists():
        raise ValueError(f"{folder} exists: choose another folder, or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")
    try:
        with tarfile.open(archive) as entries:
            entries.extractall(part, filter="data")
    except tarfile.TarError as error:
        raise ValueError(f"the service sent no complete archive: {error}") from None
    _check(part)
    part.rename(folder)
    return folder


def _check(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    recorded = {name: file["sha256"] for name, file in manifest.get("files", {}).items()}
    for name, sha256 in (recorded or {manifest["artifact"]: manifest["sha256"]}).items():
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise ValueError(f"{name}: its SHA-256 is not that of {MANIFEST}: pull it again")


def state_of(listed: Json, version: str) -> Json:
    """A version in the list of a model's versions.

    Raises InvalidInput if it was refused, TryLater if its gateway did not finish it.
    """
    found: Json | None = next((one for one in listed["versions"] if one["version"] == version), None)
    if found is None:
        raise TryLater(f"{version} was not published: send it again")
    if found["state"] == "refused":
        raise InvalidInput(found["reason"], code="validation_error", status=422)
    return found
