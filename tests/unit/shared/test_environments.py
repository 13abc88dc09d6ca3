"""`[environment]` of model.toml, and the names of environments."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from shared.environments import EnvironmentSpec, environment_of
from shared.manifests import ArtifactManifest, VersionFile


def test_packages_or_a_file_are_declared() -> None:
    assert EnvironmentSpec(requirements=["scikit-learn==1.5.2"]).requirements == ("scikit-learn==1.5.2",)
    assert EnvironmentSpec(python="3.12", requirements="requirements.txt").requirements == "requirements.txt"


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"requirements": []}, "is a list of packages"),
        ({"requirements": 5}, "is a list of packages"),
        ({"requirements": ["numpy", "--index-url http://x"]}, "'--index-url http://x' is not a package"),
        ({"requirements": ["numpy\n--index-url http://x"]}, "is not a package"),
        ({"requirements": "../requirements.txt"}, "is not the name of a file beside model.toml"),
        ({"requirements": ["numpy"], "python": "3.10"}, "needs Python 3.11 or later"),
        ({"requirements": ["numpy"], "python": "three"}, "pattern"),
        ({}, "required"),
    ],
)
def test_a_wrong_table_is_refused_with_the_reason(table: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        EnvironmentSpec.model_validate(table)


def test_versions_with_an_equal_lock_share_an_environment() -> None:
    assert environment_of(_manifest({"environment.lock": VersionFile(1, "ab" * 32)})) == "ab" * 8
    assert environment_of(_manifest({"model.joblib": VersionFile(1, "ab" * 32)})) == ""


def _manifest(files: dict[str, VersionFile]) -> ArtifactManifest:
    return ArtifactManifest(
        model="m",
        version="1.0.0",
        artifact="model.joblib",
        sha256="",
        size_bytes=1,
        created_at="",
        frameworks={},
        files=files,
    )
