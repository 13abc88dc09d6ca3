"""`takt models environments` lists the environments of this machine, and removes those that nothing uses."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from shared.environments import LOCK, environment_name, interpreter_of
from shared.errors import SpecError
from shared.integrity import digest_of
from stack.environment_commands import environments_in, show_environments

LOCKS = {"press": b"# of press\n", "weld": b"# of weld\n"}


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    """Two versions of a model share an environment; the model.toml of another is missing."""
    for version in ("press/1.0.0", "press/1.1.0", "weld/2.0.0"):
        folder = tmp_path / "models" / version
        folder.mkdir(parents=True)
        (folder / LOCK).write_bytes(LOCKS[version.partition("/")[0]])
    return tmp_path / "models"


def made(root: Path, name: str) -> Path:
    python = interpreter_of(root, name)
    python.parent.mkdir(parents=True)
    python.write_bytes(b"x" * 2_000_000)
    return python.parents[1]


def name_of(model: str) -> str:
    return environment_name(digest_of(LOCKS[model]))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environments of both models, an unused and an unfinished environment."""
    root = tmp_path / "environments"
    monkeypatch.setenv("TAKT_ENVIRONMENTS_DIR", str(root))
    for name in (name_of("press"), name_of("weld"), "ab" * 8, f".{'cd' * 8}-1234abcd"):
        made(root, name)
    return root


def listed(
    capsys: pytest.CaptureFixture[str], models_dir: Path, *, clean: bool
) -> dict[str, dict[str, object]]:
    show_environments(models_dir, clean=clean, as_json=True)
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    return {line["environment"]: line for line in lines}


def test_each_environment_has_its_size_and_the_versions_that_use_it(models_dir: Path, root: Path) -> None:
    found = {one.environment: one for one in environments_in(root, models_dir)}
    assert found[name_of("press")].versions == ("press@1.0.0", "press@1.1.0")
    assert found[name_of("weld")].versions == ("weld@2.0.0",)
    assert found["ab" * 8].versions == ()
    assert all(2_000_000 <= one.size_bytes < 2_100_000 for one in found.values())


def test_cleaning_removes_what_no_version_uses(
    models_dir: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = listed(capsys, models_dir, clean=True)
    assert [name for name, one in shown.items() if one["removed"]] == ["ab" * 8]
    assert {path.name for path in root.iterdir()} == shown.keys() - {"ab" * 8}
    assert not any(one["removed"] for one in listed(capsys, models_dir, clean=True).values())


def test_an_abandoned_environment_is_removed_too(
    models_dir: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (unfinished,) = root.glob(".*")
    os.utime(unfinished, (0, 0))
    listed(capsys, models_dir, clean=True)
    assert not unfinished.exists()


def test_the_list_says_how_to_free_the_space(
    models_dir: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_environments(models_dir, clean=False, as_json=False)
    text = capsys.readouterr().out
    assert "press@1.0.0, press@1.1.0" in text
    assert "1 unused, 2 MB: takt models environments --clean" in text
    assert len(list(root.iterdir())) == 4


def test_nothing_is_removed_if_the_repository_is_missing(tmp_path: Path, root: Path) -> None:
    with pytest.raises(SpecError, match="there is no such folder"):
        show_environments(tmp_path / "elsewhere", clean=True, as_json=False)
    assert len(list(root.iterdir())) == 4
