"""Environments are locked and made from a folder of wheels, without a network."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.environments import LOCK
from shared.errors import ArtifactError
from shared.settings import Settings
from tests.support.wheels import wheel
from tests.unit.worker.environments.test_requirements import spec
from worker.environments import requirements
from worker.environments.creation import lock, make
from worker.environments.uv import Uv, causes_of

pytest.importorskip("uv")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Takt itself needs nothing here, so that a few small wheels are enough."""
    monkeypatch.setattr(requirements, "TAKT", ())
    monkeypatch.setattr(requirements, "COMPUTING", ())
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "wheels").mkdir()
    wheel(tmp_path / "wheels", "scikit-learn", "1.5.2", "answer = 42")
    wheel(tmp_path / "wheels", "joblib", "1.4.0")
    return Settings(wheels=tmp_path / "wheels", environments_dir=tmp_path / "environments")


def locked(folder: Path, settings: Settings, *packages: str, **more: Any) -> bytes:
    """The lock of a scikit-learn model that requires these packages."""
    model = spec(environment={"requirements": list(packages), **more})
    assert model.environment
    return lock(model.environment, folder, settings, silent, spec=model)


def silent(_: str) -> None:
    pass


def test_a_lock_has_versions_and_hashes_and_its_environment_runs(tmp_path: Path, settings: Settings) -> None:
    content = locked(tmp_path, settings, "scikit-learn==1.5.2", "joblib")
    assert b"scikit-learn==1.5.2 \\\n    --hash=sha256:" in content
    steps: list[str] = []
    made = make(content, settings, steps.append)
    assert steps[0] == f"making environment {made.name}: 2 packages"
    shown = subprocess.check_output([made.python, "-c", "import scikit_learn as s; print(s.answer)"])
    assert shown == b"42\n"
    assert (settings.environments_dir / made.name / LOCK).read_bytes() == content
    assert made.took_s > 0


def test_an_environment_is_made_once(tmp_path: Path, settings: Settings) -> None:
    first = make(locked(tmp_path, settings, "scikit-learn==1.5.2", "joblib"), settings, silent)
    again = make(locked(tmp_path, settings, "scikit-learn==1.5.2", "joblib"), settings, silent)
    assert (again.name, again.took_s) == (first.name, 0)
    assert [path.name for path in settings.environments_dir.iterdir()] == [first.name]


def test_a_wheel_with_other_bytes_is_not_installed(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = locked(tmp_path, settings, "scikit-learn==1.5.2", "joblib")
    wheel(tmp_path / "wheels", "joblib", "1.4.0", "harm = True")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "another-machine"))
    with pytest.raises(ArtifactError, match=r"Hash mismatch for `joblib==1.4.0`"):
        make(content, settings, silent)
    assert list(settings.environments_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("packages", "reason"),
    [
        (["scikit-learn==9.9.9", "joblib"], r"there is no version of scikit-learn==9\.9\.9"),
        (["no-such-package"], r"no-such-package was not found .* \(TAKT_WHEELS=.*wheels\)"),
        (["scikit-learn=1.5"], 'no such comparison operator "="'),
        (["joblib"], "needs scikit-learn: add it"),
    ],
)
def test_requirements_that_cannot_be_met_are_refused_with_the_reason(
    packages: list[str], reason: str, tmp_path: Path, settings: Settings
) -> None:
    with pytest.raises(ArtifactError, match=reason) as refused:
        locked(tmp_path, settings, *packages)
    assert "\n" not in refused.value.detail


def test_a_missing_interpreter_is_reported_with_the_fix(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(
        ArtifactError, match=r"Python 3\.99 is not on this machine: .*uv python install 3\.99"
    ):
        locked(tmp_path, settings, "scikit-learn==1.5.2", python="3.99")


def test_an_unreachable_index_is_reported_with_the_settings(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    away = Settings(index_url="http://u:secret@127.0.0.1:9/simple", environments_dir=tmp_path)
    with pytest.raises(ArtifactError, match=r"cannot be reached .* TAKT_INDEX_URL .* TAKT_WHEELS") as refused:
        locked(tmp_path, away, "scikit-learn==1.5.2")
    assert "secret" not in refused.value.detail


def test_without_uv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ArtifactError, match=r"pip install 'takt-server\[environments\]'"):
        Uv(settings)


def test_a_lock_without_its_head_is_refused(settings: Settings) -> None:
    with pytest.raises(ArtifactError, match="first line does not name a version of Python"):
        make(b"numpy==2.0.0\n", settings, silent)


def test_causes_are_the_messages_of_uv_on_a_line_each() -> None:
    errors = (
        "error: Couldn't parse requirement in `-` at position 0\n  cause: no such\n     operator\n   ^^^\n"
    )
    assert causes_of(errors) == ["Couldn't parse requirement", "no such operator"]


def test_the_interpreter_of_a_version_is_found(settings: Settings) -> None:
    version = ".".join(map(str, sys.version_info[:2]))
    assert Path(Uv(settings).run("python", "find", "--no-python-downloads", version).strip()).is_file()
