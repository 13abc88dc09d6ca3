"""The model store: immutable versions of models, in a folder or in an object store by URL.

    <name>/<version>/…               the files of a version; its manifest.json is written last
    <name>/model.toml                the declaration of a model, in a folder that also builds models
    .incoming/<id>/…                 the files of a version that is not verified yet

A version appears completely or not at all: a folder is renamed, and in an object store a version without a
manifest does not exist. All methods do blocking I/O and raise ModelStoreError if the store fails.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import obstore

from shared.errors import ModelStoreError, VersionExistsError
from shared.manifests import MANIFEST, ArtifactManifest, encode_manifest
from shared.object_stores import LIST_PAGE, open_object_store, reason_of, without_secrets
from shared.setting_values import folder_of, is_folder
from shared.settings import Settings

INCOMING = ".incoming"
CONNECT_S = 3.0


class StoredFile(NamedTuple):
    """An object of the store."""

    path: str
    size_bytes: int
    mark: str  # changes if it is replaced
    changed_at_s: float  # s since 1970


def open_model_store(settings: Settings) -> ModelStore:
    """The store of this deployment. Raises ModelStoreError if it cannot be used."""
    return ModelStore(settings.models_url or str(settings.models_dir))


def version_path(name: str, version: str) -> str:
    return f"{name}/{version}"


def incoming_path(publication: str) -> str:
    return f"{INCOMING}/{publication}"


class ModelStore:
    """Files of versions by path."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._folder = folder_of(url).absolute() if is_folder(url) else None
        self._store = open_object_store(
            self._folder.as_uri() if self._folder else url, ModelStoreError, connect_s=CONNECT_S
        )

    def put(self, path: str, file: Path) -> None:
        with self._failing("write", path):
            obstore.put(self._store, path, file)

    def read(self, path: str) -> bytes:
        """The content of a small file."""
        with self._failing("read", path):
            return bytes(obstore.get(self._store, path).bytes())

    def pieces(self, path: str) -> Iterator[bytes]:
        with self._failing("read", path):
            yield from map(bytes, obstore.get(self._store, path).stream())

    async def pieces_async(self, path: str) -> AsyncIterator[bytes]:
        with self._failing("read", path):
            async for piece in (await obstore.get_async(self._store, path)).stream():
                yield bytes(piece)

    def files(self, prefix: str = "") -> Iterator[StoredFile]:
        """All files below a path."""
        with self._failing("list", prefix or "its files"):
            for page in obstore.list(self._store, prefix=prefix or None, chunk_size=LIST_PAGE):
                for item in page:
                    yield StoredFile(
                        item["path"],
                        item["size"],
                        item["e_tag"] or str(item["last_modified"]),
                        item["last_modified"].timestamp(),
                    )

    def publish(self, publication: str, manifest: ArtifactManifest) -> None:
        """Make the incoming files a version. Raises VersionExistsError if there is one already."""
        target = version_path(manifest.model, manifest.version)
        with self._failing("write", target):
            if self._folder is not None:
                self._rename(self._folder / incoming_path(publication), self._folder / target, manifest)
                return
            for name in manifest.files:
                obstore.copy(self._store, f"{incoming_path(publication)}/{name}", f"{target}/{name}")
            obstore.put(self._store, f"{target}/{MANIFEST}", encode_manifest(manifest), mode="create")
        self.discard(publication)

    def discard(self, publication: str) -> None:
        """Remove incoming files."""
        self._remove(incoming_path(publication))

    def remove_version(self, name: str, version: str) -> None:
        """Remove a version, its manifest first."""
        place = version_path(name, version)
        if self._folder is not None:
            with self._failing("remove", place):
                self._remove_folder(self._folder / place)
            return
        with self._failing("remove", place):
            obstore.delete(self._store, f"{place}/{MANIFEST}")
        self._remove(place)

    def discard_older(self, than_s: float) -> None:
        """Remove incoming files that were written before a time: their gateway has ended."""
        newest: dict[str, float] = {}
        for file in self.files(INCOMING):
            publication = file.path.split("/")[1]
            newest[publication] = max(file.changed_at_s, newest.get(publication, 0.0))
        for publication, at_s in newest.items():
            if at_s < than_s:
                self.discard(publication)

    def _rename(self, incoming: Path, target: Path, manifest: ArtifactManifest) -> None:
        (incoming / MANIFEST).write_bytes(encode_manifest(manifest))
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            incoming.rename(target)
        except OSError as error:
            if not target.exists():
                raise
            raise VersionExistsError(
                f"{target.parent.name}/{target.name} is in the store already; it was not published"
            ) from error

    def _remove_folder(self, place: Path) -> None:
        """A version vanishes at once; its model vanishes with the last file."""
        if self._folder is not None and place.exists():
            waste = self._folder / INCOMING / uuid4().hex
            waste.parent.mkdir(exist_ok=True)
            place.rename(waste)
            shutil.rmtree(waste)
            if not any(place.parent.iterdir()):
                place.parent.rmdir()

    def _remove(self, prefix: str) -> None:
        with self._failing("remove", prefix):
            if self._folder is not None:
                shutil.rmtree(self._folder / prefix, ignore_errors=True)
                return
            for page in _pages(file.path for file in self.files(prefix)):
                obstore.delete(self._store, page)

    @contextmanager
    def _failing(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except (ModelStoreError, VersionExistsError, GeneratorExit):
            raise
        except obstore.exceptions.AlreadyExistsError as error:
            raise VersionExistsError(f"{path} is in the store already") from error
        except Exception as error:  # obstore's errors share no base class but Exception
            place = without_secrets(self._url)
            raise ModelStoreError(f"{place}: cannot {verb} {path}: {reason_of(error)}") from error


def _pages(paths: Iterable[str]) -> Iterator[list[str]]:
    page: list[str] = []
    for path in paths:
        page.append(path)
        if len(page) == LIST_PAGE:
            yield page
            page = []
    if page:
        yield page
