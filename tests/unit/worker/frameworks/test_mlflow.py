"""Directories of MLflow: estimators and boosters by their flavor, others as python_function."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from shared.errors import ArtifactError
from tests.support.artifacts import load, shown, version_from_file
from tests.support.frameworks import needs
from tests.support.specimens import declaration
from worker.predictors import library_versions

pytestmark = [
    needs("mlflow"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

ROWS, ANSWERS = load_iris(return_X_y=True)
NAMES = [f"len {n} (cm)" for n in range(4)]
INPUTS = [{"name": name, "type": "float", "example": 1.0} for name in NAMES]
HELPER = "def doubled(values):\n    return values * 2\n"


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def frame() -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=NAMES)


def columns() -> dict[str, Any]:
    return {name: np.ascontiguousarray(ROWS[:, n]) for n, name in enumerate(NAMES)}


def saved_estimator(folder: Path) -> Any:
    import mlflow.sklearn

    model = LogisticRegression(max_iter=500).fit(frame(), ANSWERS)
    signature = mlflow.models.infer_signature(frame(), ANSWERS)
    mlflow.sklearn.save_model(
        model, str(folder), signature=signature, pip_requirements=[], serialization_format="cloudpickle"
    )
    return model


def test_an_estimator_shows_labels_and_probabilities(tmp_path: Path) -> None:
    model = saved_estimator(tmp_path / "model")
    outputs = [{"name": "label", "view": "label"}, {"name": "p", "view": "probabilities"}]
    spec = declaration(framework="mlflow", inputs=INPUTS, classes=["a", "b", "c"], outputs=outputs)
    version = version_from_file(spec, tmp_path / "model", tmp_path / "repository")
    assert "model/MLmodel" in version.manifest.files, "every file of the directory has its digest"
    answer = shown(load(version), columns())
    assert answer["p"] == model.predict_proba(frame()).tolist()
    assert answer["label"] == ["abc"[number] for number in model.predict(frame())]


def test_the_manifest_has_the_versions_of_the_mlmodel_file(tmp_path: Path) -> None:
    import mlflow

    saved_estimator(tmp_path / "model")
    stated = library_versions.stated_by("mlflow", tmp_path / "model")
    assert stated.versions["scikit-learn"] == library_versions.installed("scikit-learn")["scikit-learn"]
    assert stated.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert stated.formats == {"mlflow": mlflow.__version__}


@needs("xgboost")
def test_a_booster_is_compiled_as_by_its_own_framework(tmp_path: Path) -> None:
    import mlflow.xgboost
    import xgboost

    table = xgboost.DMatrix(frame(), ANSWERS)
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3}, table, num_boost_round=5)
    mlflow.xgboost.save_model(booster, str(tmp_path / "model"), pip_requirements=[])
    outputs = [{"name": "p", "view": "probabilities"}]
    spec = declaration(framework="mlflow", inputs=INPUTS, classes=["a", "b", "c"], outputs=outputs)
    predictor = load(version_from_file(spec, tmp_path / "model", tmp_path / "repository"))
    assert shown(predictor, columns())["p"] == booster.predict(table).astype(float).tolist()
    assert {one.name: one.bit_equal for one in predictor.runtimes.measured}["walk"]


def test_another_flavor_is_a_python_function_with_private_code(tmp_path: Path) -> None:
    import mlflow.pyfunc

    (tmp_path / "takt_doubling.py").write_text(HELPER, encoding="utf-8")

    class Doubles(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # without types
        def predict(self, context, model_input):  # type: ignore[no-untyped-def]  # MLflow reads the hints
            from takt_doubling import doubled  # type: ignore[import-not-found]

            return pd.DataFrame({"double": doubled(model_input[NAMES[0]]), "kind": "d"})

    mlflow.pyfunc.save_model(
        str(tmp_path / "model"),
        python_model=Doubles(),
        code_paths=[str(tmp_path / "takt_doubling.py")],
        pip_requirements=[],
    )
    sys.modules.pop("takt_doubling", None)
    outputs = [{"name": "double", "view": "value"}, {"name": "kind", "view": "value", "type": "string"}]
    spec = declaration(framework="mlflow", inputs=INPUTS, outputs=outputs)
    path = list(sys.path)
    predictor = load(version_from_file(spec, tmp_path / "model", tmp_path / "repository"))
    answer = shown(predictor, columns())
    assert answer["double"] == (ROWS[:, 0] * 2).tolist()
    assert set(answer["kind"]) == {"d"}
    assert sys.path == path


def test_wrong_folders_say_what_to_do(tmp_path: Path) -> None:
    saved_estimator(tmp_path / "model")
    spec = declaration(framework="mlflow")
    with pytest.raises(ArtifactError, match=r"signature has the column 'len 0 \(cm\)', which is no input"):
        load(version_from_file(spec, tmp_path / "model", tmp_path / "a"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    with pytest.raises(
        ArtifactError, match=r"is no model of MLflow, because it has no file MLmodel, but 'notes.txt': give"
    ):
        load(version_from_file(spec, tmp_path / "empty", tmp_path / "b"))
