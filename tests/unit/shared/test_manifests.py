"""Manifests of versions with several files."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from shared.errors import ArtifactError
from shared.manifests import (
    ArtifactManifest,
    check_files,
    digest_of_files,
    files_in,
    read_manifest,
    sha256_of,
    write_manifest,
)


def written(folder: Path, **changes: object) -> ArtifactManifest:
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"x" * 100)
    (folder / "parts").mkdir()
    (folder / "parts" / "table.csv").write_text("a,b\n", encoding="utf-8")
    files = files_in(folder)
    manifest = ArtifactManifest(
        schema=2,
        model="m",
        version="1.0.0",
        artifact="model.bin",
        sha256=digest_of_files("model.bin", files),
        size_bytes=104,
        created_at="2026-03-02T06:30:00Z",
        frameworks={},
        files=files,
    )
    manifest = msgspec.structs.replace(manifest, **changes)
    write_manifest(folder, manifest)
    return manifest


def test_every_file_is_listed_with_size_and_digest(tmp_path: Path) -> None:
    manifest = written(tmp_path / "v")
    read = read_manifest(tmp_path / "v", "m", "1.0.0")
    assert read.files == manifest.files
    assert {name: file.size_bytes for name, file in read.files.items()} == {
        "model.bin": 100,
        "parts/table.csv": 4,
    }
    check_files(tmp_path / "v", read)


def test_the_digest_of_a_single_file_is_its_own_and_that_of_more_covers_all(tmp_path: Path) -> None:
    manifest = written(tmp_path / "v")
    only = {"model.bin": manifest.files["model.bin"]}
    assert digest_of_files("model.bin", only) == sha256_of(tmp_path / "v" / "model.bin")
    assert manifest.sha256 != only["model.bin"].sha256


def test_a_changed_file_beside_the_artifact_is_refused(tmp_path: Path) -> None:
    manifest = written(tmp_path / "v")
    (tmp_path / "v" / "parts" / "table.csv").write_text("a,c\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"table\.csv: is not opened: .*was changed after it was built"):
        check_files(tmp_path / "v", manifest)


def test_an_incomplete_copy_is_recognised_by_its_size(tmp_path: Path) -> None:
    manifest = written(tmp_path / "v")
    (tmp_path / "v" / "model.bin").write_bytes(b"x" * 40)
    with pytest.raises(ArtifactError, match="is incomplete: it has 40 of 100 bytes; copy it again"):
        check_files(tmp_path / "v", manifest)


def test_a_file_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    manifest = written(tmp_path / "v")
    (tmp_path / "v" / "parts" / "more.py").write_text("", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"more\.py: is not in manifest\.json.*remove the file"):
        check_files(tmp_path / "v", manifest)


def test_hidden_files_and_caches_of_python_are_no_files_of_a_version(tmp_path: Path) -> None:
    manifest = written(tmp_path / "v")
    (tmp_path / "v" / ".DS_Store").touch()
    (tmp_path / "v" / "__pycache__").mkdir()
    (tmp_path / "v" / "__pycache__" / "x.pyc").touch()
    check_files(tmp_path / "v", manifest)


@pytest.mark.parametrize("name", ["../other.bin", "/etc/passwd", "", "a\\..\\b"])
def test_a_listed_path_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    manifest = written(tmp_path / "v")
    files = manifest.files | {name: manifest.files["model.bin"]}
    write_manifest(tmp_path / "v", msgspec.structs.replace(manifest, files=files))
    with pytest.raises(ArtifactError, match="is not a path inside the version's folder"):
        read_manifest(tmp_path / "v", "m", "1.0.0")


def test_a_manifest_of_schema_1_is_read_and_its_artifact_checked(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"x")
    (folder / "notes.txt").touch()  # an older Takt did not list files
    fields = {"model": "m", "version": "1.0.0", "artifact": "model.bin", "size_bytes": 1, "frameworks": {}}
    fields |= {"sha256": sha256_of(folder / "model.bin"), "created_at": "2026-03-02T06:30:00Z"}
    (folder / "manifest.json").write_bytes(msgspec.json.encode(fields))
    manifest = read_manifest(folder, "m", "1.0.0")
    assert manifest.schema == 1
    check_files(folder, manifest)
    (folder / "model.bin").write_bytes(b"y")
    with pytest.raises(ArtifactError, match="is not opened"):
        check_files(folder, manifest)
