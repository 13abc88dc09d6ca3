"""This machine's copies of the models in an object store.

    models/<name>/<version>/…   model.toml, manifest.json and images of every version; other files once needed
    files/<sha256>              the content of files, which versions share by hard links
    index.json                  which objects the copies are of

It is laid out as a model repository, so that everything reads it like a folder of models, also while the
store is away. Several processes use one cache; a lock orders their changes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import uuid4

import msgspec
import structlog

from shared.errors import ArtifactError
from shared.integrity import short
from shared.manifests import MANIFEST, VersionFile
from shared.model_store import ModelStore, StoredFile, open_model_store, version_path
from shared.repository import ModelVersion, is_version
from shared.settings import Settings
from shared.spec_files import SPEC
from shared.specs import NAME

log = structlog.get_logger(__name__)

USED = ".used"
"""Its time is that of the last use of a version's files."""
KEPT_S = 600.0
"""Time after its last use in which a version's files are not removed."""
_IMAGES = (".png", ".jpg", ".jpeg")
_MOST_IMAGE_BYTES = 2**20


def open_model_cache(settings: Settings) -> ModelCache | None:
    """The cache of this machine; None: models lie in a folder. Raises ModelStoreError."""
    if not settings.uses_object_store():
        return None
    return ModelCache(
        open_model_store(settings), settings.models_folder().parent, settings.models_cache_bytes
    )


def with_files(version: ModelVersion, settings: Settings) -> ModelVersion:
    """The version, with its files on this machine. Raises ArtifactError, ModelStoreError."""
    if (cache := open_model_cache(settings)) is not None:
        cache.fetch(version)
    return version


class ModelCache:
    """`root`: the folder of the cache. `most_bytes`: size of files above which unused ones are removed."""

    def __init__(self, store: ModelStore, root: Path, most_bytes: int) -> None:
        self._store = store
        self._models, self._files = root / "models", root / "files"
        self._index, self._lock = root / "index.json", root / "lock"
        self._most_bytes = most_bytes
        for folder in (self._models, self._files):
            folder.mkdir(parents=True, exist_ok=True)

    def has(self, name: str, version: str) -> bool:
        """Whether a version is known here."""
        return (self._models / name / version / MANIFEST).is_file()

    def refresh(self) -> bool:
        """Copy new declarations and manifests, and forget removed versions.

        → whether a model.toml of a model has changed. Raises ModelStoreError.
        """
        with self._locked():
            found = {file.path: file for file in self._store.files() if _is_copied(file)}
            known = self._read_index()
            new = [path for path, file in found.items() if known.get(path) != file.mark]
            gone = known.keys() - found.keys()
            for path in sorted(new, key=lambda path: path.endswith(MANIFEST)):  # manifests last
                _write(self._models / path, self._store.read(path))
            for path in gone:
                self._forget(path)
            _write(self._index, msgspec.json.encode({path: file.mark for path, file in found.items()}))
        return any(path.count("/") == 1 for path in (*new, *gone))

    def fetch(self, version: ModelVersion) -> None:
        """Copy the files of a version, each compared with its SHA-256.

        Raises ArtifactError if a file differs, ModelStoreError.
        """
        listed = version.manifest.files or {
            version.manifest.artifact: VersionFile(version.manifest.size_bytes, version.manifest.sha256)
        }
        missing = {name: file for name, file in listed.items() if not (version.folder / name).is_file()}
        if missing:
            with self._locked("fetch.lock"):
                self._make_room(sum(file.size_bytes for file in missing.values()))
                for name, file in missing.items():
                    self._fetch_file(version, name, file)
            log.info("version_fetched", model=version.key, files=len(missing))
        (version.folder / USED).touch()

    def keep(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Mark versions as used now."""
        for name, version in wanted:
            if self.has(name, version):
                with contextlib.suppress(OSError):
                    (self._models / name / version / USED).touch()

    def _fetch_file(self, version: ModelVersion, name: str, file: VersionFile) -> None:
        content, target = self._files / file.sha256, version.folder / name
        if not content.is_file():
            source = f"{version_path(version.spec.name, version.manifest.version)}/{name}"
            self._download(source, content, file)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{uuid4().hex[:8]}")
        try:
            os.link(content, part)
        except OSError:  # the file system has no hard links
            shutil.copyfile(content, part)
        part.replace(target)

    def _download(self, source: str, target: Path, file: VersionFile) -> None:
        part, digest = target.with_name(f".{uuid4().hex}"), hashlib.sha256()
        try:
            with part.open("xb") as stored:
                for piece in self._store.pieces(source):
                    digest.update(piece)
                    stored.write(piece)
            if digest.hexdigest() != file.sha256:
                raise ArtifactError(
                    f"{source}: SHA-256 in the model store is {short(digest.hexdigest())}, but the manifest "
                    f"has {short(file.sha256)}: publish the version again under another number"
                )
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    # -- room ----------------------------------------------------------------------------------------------

    def _make_room(self, size_bytes: int) -> None:
        """Remove the files of versions that were not used for longest, and those of removed versions."""
        self._remove_unlinked()
        stored = sum(path.stat().st_size for path in self._files.iterdir())
        now_s = time.time()
        for used_s, folder in sorted(self._used_versions()):
            if stored + size_bytes <= self._most_bytes or used_s > now_s - KEPT_S:
                return
            _drop_files(folder)
            log.info("version_dropped_from_cache", model=f"{folder.parent.name}@{folder.name}")
            self._remove_unlinked()
            stored = sum(path.stat().st_size for path in self._files.iterdir())

    def _used_versions(self) -> Iterator[tuple[float, Path]]:
        for mark in self._models.glob(f"*/*/{USED}"):
            yield mark.stat().st_mtime, mark.parent

    def _remove_unlinked(self) -> None:
        for path in self._files.iterdir():
            if path.stat().st_nlink == 1 and path.stat().st_mtime < time.time() - KEPT_S:
                path.unlink(missing_ok=True)

    # -- the copies of small files -------------------------------------------------------------------------

    def _forget(self, path: str) -> None:
        if path.endswith(MANIFEST):
            shutil.rmtree((self._models / path).parent, ignore_errors=True)
        else:
            (self._models / path).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty
            (self._models / path.split("/", maxsplit=1)[0]).rmdir()

    def _read_index(self) -> dict[str, str]:
        try:
            return msgspec.json.decode(self._index.read_bytes(), type=dict[str, str])
        except (OSError, msgspec.MsgspecError):
            return {}

    @contextlib.contextmanager
    def _locked(self, name: str = "lock") -> Iterator[None]:
        with self._lock.with_name(name).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _is_copied(file: StoredFile) -> bool:
    """Whether a file is copied before its version is needed."""
    name, *rest = file.path.split("/")
    if not re.fullmatch(NAME, name) or not rest:
        return False
    if rest == [SPEC]:
        return True
    is_image = rest[-1].lower().endswith(_IMAGES) and file.size_bytes <= _MOST_IMAGE_BYTES
    return len(rest) > 1 and is_version(rest[0]) and (rest[1:] in ([SPEC], [MANIFEST]) or is_image)


def _drop_files(folder: Path) -> None:
    """Remove the files, which `fetch` copies again."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            with contextlib.suppress(OSError):
                path.rmdir()
        elif path.name not in (SPEC, MANIFEST) and not path.name.lower().endswith(_IMAGES):
            path.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    part.write_bytes(content)
    part.replace(path)
