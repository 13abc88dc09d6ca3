"""The model repository: built versions are complete and unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from shared.errors import ArtifactError, ModelNotFoundError, SpecError
from shared.repository import Repository, open_repository
from worker.models.build import build_model

SPEC = """
name = "{name}"
framework = "scikit-learn"
default_version = "1.0.0"
inputs = [{{ name = "x", type = "float", example = 1 }}]
outputs = [{{ name = "y", view = "value" }}]
"""
BUILD = """
from worker.models.build import Build
from .sizes import SIZE

def build(folder):
    if (folder.parent / "broken").exists():
        raise RuntimeError("broken")
    (folder / "model.bin").write_bytes(b"x" * SIZE)
    return Build("model.bin", metrics={"error": 0.5})
"""


def add_model(root: Path, name: str = "tiny", build: str = BUILD) -> None:
    folder = root / name
    folder.mkdir()
    (folder / "model.toml").write_text(SPEC.format(name=name), encoding="utf-8")
    (folder / "build.py").write_text(build, encoding="utf-8")
    (folder / "sizes.py").write_text("SIZE = 1000\n", encoding="utf-8")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    add_model(tmp_path)
    return open_repository(tmp_path)


def test_a_build_says_what_was_built_by_what(repository: Repository) -> None:
    version = build_model(repository, "tiny")
    manifest = version.manifest
    assert version.key == "tiny@1.0.0"
    assert (manifest.artifact, manifest.metrics) == ("model.bin", {"error": 0.5})
    assert manifest.files.keys() == {"model.bin", "sizes.py"}
    assert manifest.size_bytes == sum(file.size_bytes for file in manifest.files.values())
    assert manifest.frameworks == {}, "a file that a build only writes was made by none of the libraries"
    assert manifest.created_at.endswith("Z")
    assert repository.version("tiny") == version
    assert version.verify().read_bytes() == b"x" * 1000


def test_what_is_built_is_not_built_again_unless_forced(repository: Repository) -> None:
    first = build_model(repository, "tiny").folder.stat().st_ino
    assert build_model(repository, "tiny").folder.stat().st_ino == first
    assert build_model(repository, "tiny", force=True).folder.stat().st_ino != first


@pytest.mark.parametrize(
    ("build", "why"),
    [
        ("def build(folder): raise RuntimeError('no data')", "RuntimeError: no data"),
        ("def build(folder): return 'model.bin'", "must write an artifact and return a Build"),
        ("import a_package_that_is_not_there", "ModuleNotFoundError"),
    ],
)
def test_a_build_that_fails_leaves_nothing_and_says_why(tmp_path: Path, build: str, why: str) -> None:
    add_model(tmp_path, build=build)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArtifactError, match=why):
        build_model(open_repository(tmp_path), "tiny")
    assert [p for p in sorted(tmp_path.rglob("*")) if "__pycache__" not in p.parts] == before


def test_the_built_version_stays_when_a_forced_build_fails(repository: Repository) -> None:
    built = build_model(repository, "tiny")
    (repository.root / "tiny" / "broken").touch()
    with pytest.raises(ArtifactError, match="RuntimeError: broken"):
        build_model(repository, "tiny", force=True)
    assert repository.version("tiny") == built
    assert built.verify()


def test_versions_stand_in_the_order_of_semantic_versions(repository: Repository) -> None:
    versions = ["1.10.0", "1.0.0-rc.1", "1.0.0", "1.0.0-rc.10", "1.2.0", "1.0.0-rc.2", "1.0.0-alpha"]
    for version in versions:
        build_model(repository, "tiny", version)
    in_order = ["1.0.0-alpha", "1.0.0-rc.1", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "1.2.0", "1.10.0"]
    assert repository.versions("tiny") == in_order


def test_a_folder_without_a_manifest_is_no_version(repository: Repository) -> None:
    (repository.root / "tiny" / "1.0.0").mkdir()
    assert repository.versions("tiny") == []
    assert build_model(repository, "tiny").manifest.version == "1.0.0"


@pytest.mark.parametrize("version", ["../other/1.0.0", "1.0", "1.0.0.building-0", "", "9.9.9"])
def test_a_version_that_was_never_built_is_not_found(repository: Repository, version: str) -> None:
    add_model(repository.root, "other")
    build_model(open_repository(repository.root), "other")
    with pytest.raises(ModelNotFoundError, match="built: none"):
        repository.version("tiny", version)


def test_an_unknown_model_is_answered_with_those_there_are(repository: Repository) -> None:
    with pytest.raises(ModelNotFoundError, match="no model 'huge'; there are: tiny"):
        repository.version("huge")


def test_a_wrong_spec_does_not_hide_the_right_specs(tmp_path: Path) -> None:
    add_model(tmp_path)
    add_model(tmp_path, "broken")
    (tmp_path / "broken" / "model.toml").write_text("name = 1", encoding="utf-8")
    repository = open_repository(tmp_path)
    assert list(repository.specs) == ["tiny"]
    with pytest.raises(SpecError, match=r"broken/model\.toml: name: "):
        build_model(repository, "broken")


def test_a_missing_repository_names_its_setting(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no such folder .*TAKT_MODELS_DIR"):
        open_repository(tmp_path / "nowhere")


def test_an_artifact_that_was_changed_is_refused(repository: Repository) -> None:
    version = build_model(repository, "tiny")
    version.artifact.write_bytes(b"y" * 1000)
    with pytest.raises(
        ArtifactError, match=r"model\.bin: is not opened: SHA-256 is .* changed after it was built"
    ):
        version.verify()


def test_an_artifact_that_is_gone_is_named(repository: Repository) -> None:
    version = build_model(repository, "tiny")
    version.artifact.unlink()
    with pytest.raises(ArtifactError, match=r"model\.bin: is missing, and manifest.json names it"):
        version.verify()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model": "other"}, "is of other@1.0.0"),
        ({"version": "2.0.0"}, "is of tiny@2.0.0"),
        ({"artifact": "../sizes.py"}, "is not the name of a file beside it"),
        ({"size_bytes": "many"}, "Expected `int`, got `str`"),
    ],
)
def test_a_wrong_manifest_is_refused(repository: Repository, change: dict[str, str], why: str) -> None:
    path = build_model(repository, "tiny").folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change), encoding="utf-8")
    with pytest.raises(ArtifactError, match=rf"manifest\.json: .*{why}"):
        repository.version("tiny")


def test_no_flipped_bit_of_a_manifest_is_followed(repository: Repository) -> None:
    path = build_model(repository, "tiny").folder / "manifest.json"
    written, right = path.read_bytes(), repository.version("tiny").manifest
    for place in range(len(written) * 8):
        data = bytearray(written)
        data[place // 8] ^= 1 << place % 8
        path.unlink()  # another inode, so that it is read again
        path.write_bytes(data)
        try:
            found = repository.version("tiny").manifest
        except ArtifactError:
            continue
        assert msgspec.structs.replace(found, manifest_sha256=right.manifest_sha256) == right, place


def test_a_manifest_of_an_older_takt_is_read(repository: Repository) -> None:
    path = build_model(repository, "tiny").folder / "manifest.json"
    fields = json.loads(path.read_text())
    del fields["manifest_sha256"]
    path.write_text(json.dumps(fields))
    assert repository.version("tiny").manifest.manifest_sha256 == ""
