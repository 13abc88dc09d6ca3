"""Versions without a build.py: the files beside model.toml."""

from __future__ import annotations

from pathlib import Path

import joblib
import pytest
from sklearn.linear_model import LinearRegression

from shared.errors import ArtifactError
from shared.repository import open_repository
from tests.support.artifacts import load
from worker.models.build import build_model

SPEC = """
name = "line"
framework = "{framework}"
default_version = "1.0.0"
inputs = [{{ name = "x", type = "float", example = 1 }}]
outputs = [{{ name = "y", view = "value" }}]
"""
MODEL = "class Model:\n    def predict(self, columns):\n        return columns['x'] * 2\n"


def home_in(root: Path, framework: str) -> Path:
    home = root / "line"
    home.mkdir()
    (home / "model.toml").write_text(SPEC.format(framework=framework), encoding="utf-8")
    (home / "README.md").write_text("notes", encoding="utf-8")
    return home


def test_the_only_artifact_beside_the_declaration_is_built_with_the_modules(tmp_path: Path) -> None:
    home = home_in(tmp_path, "scikit-learn")
    joblib.dump(LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]), home / "line.joblib")
    (home / "helper.py").write_text("X = 1\n", encoding="utf-8")
    version = build_model(open_repository(tmp_path), "line")
    assert version.manifest.artifact == "line.joblib"
    assert version.manifest.files.keys() == {"line.joblib", "helper.py", "README.md"}
    load(version)
    again = build_model(open_repository(tmp_path), "line", "1.1.0")
    assert again.manifest.sha256 == version.manifest.sha256, "built versions are no files of a version"


def test_a_python_model_is_its_modules_and_files(tmp_path: Path) -> None:
    home = home_in(tmp_path, "python")
    (home / "model.py").write_text(MODEL, encoding="utf-8")
    (home / "tables").mkdir()
    (home / "tables" / "limits.csv").write_text("a,1\n", encoding="utf-8")
    version = build_model(open_repository(tmp_path), "line")
    assert version.manifest.artifact == "model.py"
    assert "tables/limits.csv" in version.manifest.files
    load(version)


@pytest.mark.parametrize(
    ("framework", "files", "why"),
    [
        (
            "xgboost",
            [],
            r"neither build\.py nor an artifact of xgboost \(\.json, .*put the trained",
        ),
        (
            "xgboost",
            ["a.json", "b.ubj"],
            r"several artifacts, 'a\.json', 'b\.ubj': keep one, or",
        ),
        ("python", [], r"has no model\.py, which \[python\] module names: put it beside model\.toml"),
    ],
)
def test_missing_and_doubtful_artifacts_are_named(
    tmp_path: Path, framework: str, files: list[str], why: str
) -> None:
    home = home_in(tmp_path, framework)
    for name in files:
        (home / name).touch()
    with pytest.raises(ArtifactError, match=why):
        build_model(open_repository(tmp_path), "line")
