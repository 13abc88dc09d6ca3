"""Frameworks by name, also those of an installed package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shared.errors import SpecError
from shared.frameworks import declared, known_frameworks, made_for, registry
from shared.manifests import files_in
from tests.support.artifacts import array_of, load, version_of, with_manifest
from tests.support.plugins import DECLARATION, install_plugin
from tests.support.specimens import declaration


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages, before all others."""
    folder = tmp_path / "site-packages"
    monkeypatch.syspath_prepend(folder)
    registry._added.cache_clear()
    yield folder
    registry._added.cache_clear()
    for name in [name for name in sys.modules if name.startswith("takt_lookup")]:
        del sys.modules[name]


def test_an_installed_package_adds_a_framework_with_options_and_answers(site: Path, tmp_path: Path) -> None:
    install_plugin(site)
    spec = declaration(framework="lookup", lookup={"default": 7})
    version = version_of(spec, None, tmp_path)
    version.artifact.write_text("1,10\n2,20\n", encoding="utf-8")
    version = with_manifest(version, files=files_in(version.folder))
    assert "lookup" in known_frameworks()
    assert array_of(load(version), {"x": np.array([2.0, 3.0, 1.0])}).tolist() == [20.0, 7.0, 10.0]


def test_the_options_of_an_added_framework_are_checked(site: Path) -> None:
    install_plugin(site)
    with pytest.raises(ValueError, match="greater than or equal to -1"):
        declaration(framework="lookup", lookup={"default": -2})


def test_the_digest_of_a_spec_covers_the_options(site: Path) -> None:
    install_plugin(site)
    one, other = (declaration(framework="lookup", lookup={"default": value}) for value in (1, 2))
    assert one.digest != other.digest


def test_an_unknown_framework_names_the_known_and_the_way_to_add_it() -> None:
    with pytest.raises(SpecError, match=r"'sklear' is unknown; known: .*scikit-learn.*'takt\.frameworks'"):
        declared("sklear")


def test_two_packages_with_one_framework_are_named(site: Path) -> None:
    install_plugin(site)
    install_plugin(site, distribution="other-lookup")
    with pytest.raises(SpecError, match=r"declared by (takt|other)-lookup and (takt|other)-lookup"):
        declared("lookup")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import nowhere_installed", "cannot be imported .*No module named 'nowhere_installed'"),
        ("framework = 3", "must be a shared.frameworks.Framework"),
        (DECLARATION.replace('name="lookup"', 'name="other"'), "with this name"),
    ],
)
def test_a_package_with_a_wrong_declaration_is_named(site: Path, code: str, why: str) -> None:
    install_plugin(site, declaration=code)
    with pytest.raises(SpecError, match=f"'lookup' of takt-lookup.*{why}"):
        declared("lookup")


def test_an_artifact_with_the_suffix_of_another_framework_is_recognised() -> None:
    assert made_for("model.joblib", declared("pytorch")) == "scikit-learn"
    assert made_for("model.joblib", declared("scikit-learn")) == ""
    assert made_for("model", declared("scikit-learn")) == "", "a file may have any name"
