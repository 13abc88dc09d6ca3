"""`takt models new` on directories of MLflow: their flavor, signature and input example."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.support import ai4i
from tests.support.ai4i import FEATURES, NUMBERS, TARGET
from tests.support.drafts import answers, drafted, served, spec_in, table_file
from tests.support.frameworks import needs
from worker.models.drafting.artifact_facts import DraftError

pytestmark = [
    needs("mlflow"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

TABLE = ai4i.table(300)


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def test_an_estimator_needs_no_sample_if_it_has_an_input_example(tmp_path: Path) -> None:
    import mlflow.sklearn

    columns = ColumnTransformer([("kind", OneHotEncoder(), ["Type"]), ("n", StandardScaler(), NUMBERS)])
    model = make_pipeline(columns, RandomForestClassifier(5, random_state=1))
    model.fit(TABLE[FEATURES], TABLE[TARGET])
    signature = mlflow.models.infer_signature(TABLE[FEATURES], model.predict(TABLE[FEATURES]))
    mlflow.sklearn.save_model(
        model,
        str(tmp_path / "model"),
        signature=signature,
        input_example=TABLE[FEATURES].head(3),
        pip_requirements=[],
        serialization_format="cloudpickle",
    )
    drafted(tmp_path, tmp_path / "model")
    spec = spec_in(tmp_path)
    assert (spec.framework, spec.input_names, spec.classes) == ("mlflow", FEATURES, ("0", "1"))
    assert spec.golden[0].inputs["Torque [Nm]"] in TABLE["Torque [Nm]"].head(3).tolist()
    assert answers(served(tmp_path), TABLE)["probabilities"] == model.predict_proba(TABLE[FEATURES]).tolist()


@needs("xgboost")
def test_a_booster_is_read_as_by_its_own_framework(tmp_path: Path) -> None:
    import mlflow.xgboost
    import xgboost

    plain = TABLE[NUMBERS].rename(columns=lambda name: re.sub(r"[\[\]]", "", name))
    booster = xgboost.train({"objective": "reg:squarederror"}, xgboost.DMatrix(plain, TABLE["UDI"]), 5)
    mlflow.xgboost.save_model(booster, str(tmp_path / "model"), pip_requirements=[])
    drafted(tmp_path, tmp_path / "model", sample=table_file(TABLE, tmp_path))
    assert spec_in(tmp_path).input_names == NUMBERS
    rows = TABLE.rename(columns=dict(zip(NUMBERS, plain.columns, strict=True)))
    found = answers(served(tmp_path), rows)["value"]
    assert found == pytest.approx(booster.predict(xgboost.DMatrix(plain)).tolist())


def saved_function(folder: Path, **more: Any) -> Path:
    import mlflow.pyfunc

    class Doubled(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow has no types here
        def predict(self, context, model_input):  # type: ignore[no-untyped-def]  # MLflow reads the hints
            return model_input["온도"] * 2

    mlflow.pyfunc.save_model(str(folder), python_model=Doubled(), pip_requirements=[], **more)
    return folder


def test_another_flavor_is_read_by_its_signature(tmp_path: Path) -> None:
    import mlflow.models

    rows = pd.DataFrame({"온도": [1.0, 2.0], "kind": ["a", "b"], "n": np.array([1, 2])})
    signature = mlflow.models.infer_signature(rows, rows[["온도"]].rename(columns={"온도": "답"}))
    drafted(tmp_path, saved_function(tmp_path / "model", signature=signature))
    types = {field.name: field.type.value for field in spec_in(tmp_path).inputs}
    assert types == {"온도": "float", "kind": "string", "n": "int64"}
    (output,) = spec_in(tmp_path).outputs
    assert answers(served(tmp_path), rows)[output.name] == [2.0, 4.0]


def test_a_directory_that_says_too_little_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DraftError, match=r"need a signature with inputs and outputs: save the model with"):
        drafted(tmp_path, saved_function(tmp_path / "model"))
    (tmp_path / "other").mkdir()
    with pytest.raises(DraftError, match=r"other is an empty folder"):
        drafted(tmp_path, tmp_path / "other")
