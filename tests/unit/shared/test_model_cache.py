"""Copies of versions on a machine: what is copied, by digest, within a size; and the store behind them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest

from shared.errors import ArtifactError, ModelStoreError, VersionExistsError
from shared.manifests import digest_of_files, files_in, read_manifest, write_manifest
from shared.model_cache import KEPT_S, USED, ModelCache
from shared.model_store import ModelStore, incoming_path
from shared.repository import ModelVersion, open_repository
from tests.support.model_folders import write_model

MANY_BYTES = 10**9


def publish(store: Path, name: str, version: str, **more: bytes) -> None:
    """A version with its own model.toml, and further files."""
    folder = write_model(store, name, version)
    (store / name / "model.toml").rename(folder / "model.toml")
    for file, content in more.items():
        (folder / file).write_bytes(content)
    manifest = read_manifest(folder, name, version)
    files = files_in(folder)
    digest = digest_of_files(manifest.artifact, files)
    write_manifest(folder, msgspec.structs.replace(manifest, schema=2, files=files, sha256=digest))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    publish(folder, "double", "1.0.0", large=bytes(5000))
    publish(folder, "double", "1.1.0", large=bytes(5000))
    return folder


def cache_of(store: Path, most_bytes: int = MANY_BYTES) -> ModelCache:
    return ModelCache(ModelStore(str(store)), store.parent / "cache", most_bytes)


def version_of(store: Path, version: str) -> ModelVersion:
    return open_repository(store.parent / "cache" / "models").version("double", version)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_declarations_are_copied_at_once_and_files_when_they_are_needed(store: Path) -> None:
    cache = cache_of(store)
    assert not cache.refresh(), "no model declares a default version"
    one, other = version_of(store, "1.0.0"), version_of(store, "1.1.0")
    assert names(one.folder) == {"manifest.json", "model.toml"}
    cache.fetch(one)
    assert one.verify().read_bytes() == (store / "double/1.0.0/model.joblib").read_bytes()
    assert names(other.folder) == {"manifest.json", "model.toml"}
    assert open_repository(store.parent / "cache" / "models").published == {"double"}


def test_equal_files_are_stored_once(store: Path) -> None:
    cache = cache_of(store)
    cache.refresh()
    for version in ("1.0.0", "1.1.0"):
        cache.fetch(version_of(store, version))
    first, second = (version_of(store, version).folder / "large" for version in ("1.0.0", "1.1.0"))
    assert first.samefile(second)


def test_versions_that_were_not_used_for_longest_make_room(store: Path) -> None:
    publish(store, "double", "1.2.0", other=bytes(6000))
    publish(store, "double", "1.3.0", another=os.urandom(6000))
    cache = cache_of(store, most_bytes=15_000)
    cache.refresh()
    for age, version in enumerate(("1.2.0", "1.0.0")):
        fetched = version_of(store, version)
        cache.fetch(fetched)
        used_s = time.time() - KEPT_S * (3 - age)
        for path in (fetched.folder / USED, *(store.parent / "cache" / "files").iterdir()):
            os.utime(path, (used_s, used_s))
    cache.fetch(version_of(store, "1.3.0"))
    assert names(version_of(store, "1.2.0").folder) == {"manifest.json", "model.toml"}
    assert "large" in names(version_of(store, "1.0.0").folder)
    cache.fetch(version_of(store, "1.2.0"))
    version_of(store, "1.2.0").verify()


def test_a_removed_version_is_forgotten_and_one_with_other_content_replaced(store: Path) -> None:
    cache = cache_of(store)
    cache.refresh()
    ModelStore(str(store)).remove_version("double", "1.0.0")
    cache.refresh()
    assert open_repository(store.parent / "cache" / "models").versions("double") == ["1.1.0"]
    publish(store, "double", "1.0.0", large=b"other")
    cache.refresh()
    cache.fetch(version_of(store, "1.0.0"))
    assert (version_of(store, "1.0.0").folder / "large").read_bytes() == b"other"


def test_a_file_that_differs_from_its_manifest_is_not_kept(store: Path) -> None:
    cache = cache_of(store)
    cache.refresh()
    (store / "double/1.0.0/large").write_bytes(bytes(4999) + b"1")
    with pytest.raises(ArtifactError, match="SHA-256 in the model store"):
        cache.fetch(version_of(store, "1.0.0"))
    assert "large" not in names(version_of(store, "1.0.0").folder)


def test_a_version_is_published_whole_and_only_once(store: Path, tmp_path: Path) -> None:
    models = ModelStore(str(store))
    manifest = read_manifest(store / "double/1.0.0", "double", "1.0.0")
    further = msgspec.structs.replace(manifest, version="2.0.0")
    for publication in ("first", "second"):
        for name in manifest.files:
            models.put(f"{incoming_path(publication)}/{name}", store / "double/1.0.0" / name)
    models.publish("first", further)
    with pytest.raises(VersionExistsError):
        models.publish("second", further)
    models.discard("second")
    assert not list(models.files(".incoming"))
    assert read_manifest(store / "double/2.0.0", "double", "2.0.0").files == manifest.files


def test_what_a_killed_gateway_left_is_removed_later(store: Path) -> None:
    models = ModelStore(str(store))
    models.put(f"{incoming_path('left')}/model.toml", store / "double/1.0.0/model.toml")
    models.discard_older(time.time() - 60)
    assert list(models.files(".incoming"))
    models.discard_older(time.time() + 60)
    assert not list(models.files(".incoming"))


def test_a_store_with_credentials_in_its_url_is_refused() -> None:
    with pytest.raises(ModelStoreError, match="credentials are not allowed"):
        ModelStore("s3://key:secret@bucket/models")
