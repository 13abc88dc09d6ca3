"""Errors for models that are not served: the cause and the remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from api.fleet.snapshot import ModelAvailability
from api.models.catalog import Catalog
from api.online.admission_policy import not_loaded
from shared.errors import ModelNotFoundError, ModelNotLoadedError
from shared.keys import ModelKey
from shared.repository import open_repository
from tests.unit.gateway_fakes import MODELS

KEY = ModelKey("iris@1.0.0")
REFUSAL = ModelNotLoadedError("No live worker holds iris@1.0.0.", retry_after_s=5.0)


def test_a_model_that_workers_cannot_load_is_refused_with_the_reason_and_without_paths() -> None:
    reason = "/srv/models/iris/1.0.0/model.joblib: built with scikit-learn 1.3.2 (here 1.9.1)" + "x" * 5000
    told = not_loaded(KEY, ModelAvailability(failures=(reason,)), REFUSAL)
    assert told.detail.startswith(
        "Workers cannot load iris@1.0.0: model.joblib: built with scikit-learn 1.3.2"
    )
    assert "/srv" not in told.detail
    assert len(told.detail) < 400
    assert (told.code, told.retry_after_s) == ("model_not_loaded", 5.0)


def test_a_model_that_workers_are_loading_is_refused_with_that() -> None:
    assert (
        not_loaded(KEY, ModelAvailability(loading=2), REFUSAL).detail == "2 worker(s) are loading iris@1.0.0."
    )
    assert not_loaded(KEY, ModelAvailability(), REFUSAL) is REFUSAL


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("iris", "quality"):
        (tmp_path / name).mkdir()
        shutil.copy(MODELS / name / "model.toml", tmp_path / name)
    return tmp_path


def test_a_gateway_serves_the_models_that_it_is_given_and_no_others(root: Path) -> None:
    catalog = Catalog(open_repository(root), "iris", frozenset(["iris"]))
    assert catalog.names == ["iris"]
    with pytest.raises(ModelNotFoundError, match="There is no model 'quality'"):
        catalog.find("quality")


def test_the_default_version_is_the_newest_that_was_asked_for_if_the_specs_was_not(root: Path) -> None:
    asked = frozenset(["iris@1.9.0", "iris@1.10.0"])
    assert Catalog(open_repository(root), "iris", asked).find("iris").version == "1.10.0"
    both = asked | {"iris@1.0.0"}
    assert Catalog(open_repository(root), "iris", both).find("iris").version == "1.0.0"


def test_a_model_that_was_added_after_the_start_needs_a_restart(root: Path) -> None:
    catalog = Catalog(open_repository(root), "iris")
    (root / "later").mkdir()
    (root / "later" / "model.toml").write_text("")
    with pytest.raises(ModelNotFoundError, match=r"'later' was added after this gateway started\. Deploy it"):
        catalog.find("later")
    (root / "iris" / "1.2.0").mkdir()
    (root / "iris" / "1.2.0" / "manifest.json").write_text("{}")
    with pytest.raises(ModelNotFoundError, match=r"'1\.2\.0' of .* was built after.*takt deploy"):
        catalog.find("iris", "1.2.0")
    for strange in ("../iris", "1.0.0-" + "a" * 5000):
        with pytest.raises(ModelNotFoundError, match="has no version"):
            catalog.find("iris", strange)
