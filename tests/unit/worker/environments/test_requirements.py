"""What an environment holds beside the packages of the model."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from shared.environments import EnvironmentSpec
from shared.errors import ArtifactError
from shared.specs import ModelSpec
from tests.support.documents import ROOT
from worker.environments.requirements import COMPUTING, TAKT, check_framework, requirements_of

OF_THE_MODEL = {"joblib", "scikit-learn", "torch"}
"""Frameworks: the model's own requirements name them."""


def spec(**more: object) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": "m",
            "framework": "scikit-learn",
            "default_version": "1.0.0",
            "inputs": [{"name": "x", "type": "float", "example": 1.0}],
            "outputs": [{"name": "y", "view": "value"}],
            **more,
        }
    )


def test_every_dependency_of_the_worker_is_in_the_environment() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = {*project["dependencies"], *extras["worker"], *extras["tracing"]}
    left = {_name(one) for one in declared - set(TAKT)}
    assert left == OF_THE_MODEL | set(COMPUTING)
    assert set(TAKT) <= declared


def test_requirements_may_be_a_file_beside_model_toml(tmp_path: Path) -> None:
    (tmp_path / "needs.txt").write_text("scikit-learn==1.5.2\n")
    text = requirements_of(EnvironmentSpec(requirements="needs.txt"), tmp_path, spec())
    assert text.splitlines()[0] == "scikit-learn==1.5.2"
    assert set(TAKT) <= set(text.splitlines())
    with pytest.raises(ArtifactError, match=r"missing\.txt: requirements .* No such file"):
        requirements_of(EnvironmentSpec(requirements="missing.txt"), tmp_path, None)


def test_the_library_of_the_framework_must_be_required() -> None:
    check_framework(spec(), ["joblib", "scikit-learn"])
    with pytest.raises(ArtifactError, match="needs scikit-learn: add it to the requirements"):
        check_framework(spec(), ["joblib", "xgboost"])


def test_another_distribution_of_the_library_will_do() -> None:
    check_framework(spec(framework="xgboost"), ["xgboost-cpu"])


def _name(requirement: str) -> str:
    found = re.match(r"[a-z-]+", requirement)
    assert found
    return found[0]
