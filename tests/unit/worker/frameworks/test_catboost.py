"""CatBoost: native models and wrappers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from shared.errors import ArtifactError
from tests.support.artifacts import load, shown, version_from_file
from tests.support.frameworks import needs
from tests.support.specimens import declaration
from worker.predictors import library_versions

pytestmark = needs("catboost")

ROWS, ANSWERS = load_iris(return_X_y=True)
INPUTS = [{"name": f"x{n}", "type": "float", "nullable": True, "example": 1.0} for n in range(4)]
PROBABILITIES = [{"name": "p", "view": "probabilities"}]


def columns_of(rows: Any) -> dict[str, Any]:
    return {f"x{n}": np.ascontiguousarray(rows[:, n]) for n in range(4)}


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_those_of_the_library(tmp_path: Path, classes: int) -> None:
    import catboost

    some = classes > ANSWERS
    model = catboost.CatBoostClassifier(iterations=20, verbose=0, thread_count=1, allow_writing_files=False)
    model.fit(ROWS[some], ANSWERS[some])
    model.save_model(tmp_path / "m.cbm")
    names = ["a", "b", "c"][:classes]
    spec = declaration(framework="catboost", inputs=INPUTS, classes=names, outputs=PROBABILITIES)
    predictor = load(version_from_file(spec, tmp_path / "m.cbm", tmp_path))
    assert shown(predictor, columns_of(ROWS))["p"] == model.predict_proba(ROWS).tolist()


def test_categories_are_texts_and_values_are_answered(tmp_path: Path) -> None:
    import catboost

    frame = pd.DataFrame({"machine": ["A", "B", "C"] * 20, "torque": np.arange(60.0)})
    model = catboost.CatBoostRegressor(iterations=20, verbose=0, thread_count=1, allow_writing_files=False)
    model.fit(frame, np.arange(60.0) % 3, cat_features=["machine"])
    model.save_model(tmp_path / "m.cbm")
    inputs = [
        {"name": "torque", "type": "float", "example": 1.0},
        {"name": "Maschine", "column": "machine", "type": "string", "example": "A"},
    ]
    spec = declaration(framework="catboost", inputs=inputs)
    predictor = load(version_from_file(spec, tmp_path / "m.cbm", tmp_path))
    columns = {"Maschine": frame["machine"].astype(object).to_numpy(), "torque": frame["torque"].to_numpy()}
    assert shown(predictor, columns)["y"] == model.predict(frame).tolist()


def test_a_pickled_wrapper_is_served(tmp_path: Path) -> None:
    import catboost
    import joblib

    model = catboost.CatBoostClassifier(iterations=5, verbose=0, allow_writing_files=False).fit(ROWS, ANSWERS)
    joblib.dump(model, tmp_path / "m.joblib")
    spec = declaration(framework="catboost", inputs=INPUTS, classes=["a", "b", "c"], outputs=PROBABILITIES)
    version = version_from_file(spec, tmp_path / "m.joblib", tmp_path)
    assert version.manifest.frameworks["catboost"] == catboost.__version__
    assert shown(load(version), columns_of(ROWS))["p"] == model.predict_proba(ROWS).tolist()


def test_the_version_is_read_from_a_native_model(tmp_path: Path) -> None:
    import catboost

    model = catboost.CatBoostRegressor(iterations=2, verbose=0, allow_writing_files=False).fit(ROWS, ANSWERS)
    model.save_model(tmp_path / "m.cbm")
    stated = library_versions.stated_by("catboost", tmp_path / "m.cbm")
    assert stated.versions == {"catboost": catboost.__version__}


def test_wrong_models_say_what_to_do(tmp_path: Path) -> None:
    import catboost

    model = catboost.CatBoostRegressor(iterations=2, verbose=0, allow_writing_files=False).fit(ROWS, ANSWERS)
    model.save_model(tmp_path / "m.cbm")
    classes = declaration(framework="catboost", inputs=INPUTS, classes=["a", "b"], outputs=PROBABILITIES)
    with pytest.raises(ArtifactError, match="RMSE answers no class probabilities: train with"):
        load(version_from_file(classes, tmp_path / "m.cbm", tmp_path / "a"))
    with pytest.raises(ArtifactError, match=r"trained with 4 features.*declares 1"):
        load(version_from_file(declaration(framework="catboost"), tmp_path / "m.cbm", tmp_path / "b"))
    (tmp_path / "cut.cbm").write_bytes((tmp_path / "m.cbm").read_bytes()[:99])
    with pytest.raises(ArtifactError, match=r"cut\.cbm is no complete model of CatBoost: .* save it with"):
        load(version_from_file(declaration(framework="catboost"), tmp_path / "cut.cbm", tmp_path / "c"))
