"""`takt models new` on boosters: the model that it makes answers as the booster."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support import ai4i
from tests.support.ai4i import NUMBERS, TARGET
from tests.support.drafts import answers, drafted, served, spec_in, stored, table_file
from tests.support.frameworks import needs
from worker.models.drafting.artifact_facts import DraftError

TABLE = ai4i.table(600)
PLAIN = TABLE[NUMBERS].rename(columns=lambda name: re.sub(r"[\[\]]", "", name))
"""The features under names that boosters accept."""
WITH_KIND = PLAIN.assign(Type=TABLE["Type"].astype("category"))
SHOWN = TABLE.head(50)


@needs("xgboost")
@pytest.mark.parametrize("name", ["model.json", "model.ubj", "model.joblib"])
def test_xgboost_answers_rows_with_the_headers_of_the_sample(tmp_path: Path, name: str) -> None:
    import xgboost

    model = xgboost.XGBClassifier(n_estimators=10).fit(PLAIN, TABLE[TARGET])
    if name.endswith("joblib"):
        stored(model, tmp_path)
    else:
        model.save_model(tmp_path / name)
    drafted(tmp_path, tmp_path / name, sample=table_file(TABLE, tmp_path))
    spec = spec_in(tmp_path)
    assert (spec.framework, spec.input_names) == ("xgboost", NUMBERS)
    assert spec.column_names == list(PLAIN.columns)
    assert [field.type.value for field in spec.inputs] == ["float", "float", "int64", "float", "int64"]
    rows = SHOWN.rename(columns=dict(zip(NUMBERS, PLAIN.columns, strict=True)))
    expected = model.predict_proba(rows[list(PLAIN.columns)])
    assert answers(served(tmp_path), rows)["probabilities"] == pytest.approx(expected)


@needs("xgboost")
def test_xgboost_limits_an_input_to_the_categories_of_the_training(tmp_path: Path) -> None:
    import xgboost

    matrix = xgboost.DMatrix(WITH_KIND, TABLE["Torque [Nm]"], enable_categorical=True)
    xgboost.train({}, matrix, 5).save_model(tmp_path / "model.ubj")
    drafted(tmp_path, tmp_path / "model.ubj")
    assert spec_in(tmp_path).inputs[-1].allowed == ("H", "L", "M")


@needs("xgboost")
@pytest.mark.parametrize(("objective", "view"), [("multi:softprob", "label"), ("multi:softmax", "value")])
def test_xgboost_with_several_classes(tmp_path: Path, objective: str, view: str) -> None:
    import xgboost

    matrix = xgboost.DMatrix(PLAIN, np.arange(len(PLAIN)) % 3)
    xgboost.train({"objective": objective, "num_class": 3}, matrix, 3).save_model(tmp_path / "m.json")
    drafted(tmp_path, tmp_path / "m.json", sample=table_file(TABLE, tmp_path))
    assert spec_in(tmp_path).outputs[0].view == view
    assert served(tmp_path)


@needs("lightgbm")
def test_lightgbm_answers_rows_with_the_headers_of_the_sample(tmp_path: Path) -> None:
    import lightgbm

    booster = lightgbm.train(
        {"objective": "binary", "verbosity": -1}, lightgbm.Dataset(WITH_KIND, TABLE[TARGET]), 10
    )
    booster.save_model(tmp_path / "model.txt")
    drafted(tmp_path, tmp_path / "model.txt", sample=table_file(TABLE, tmp_path), classes=("good", "bad"))
    spec = spec_in(tmp_path)
    assert (spec.input_names, spec.classes) == ([*NUMBERS, "Type"], ("good", "bad"))
    rows = SHOWN.rename(columns={field.name: field.column_name for field in spec.inputs})
    expected = booster.predict(WITH_KIND.head(50))
    found = [row[1] for row in answers(served(tmp_path), rows)["probabilities"]]
    assert found == pytest.approx(list(expected))


@needs("lightgbm")
def test_lightgbm_records_ranges_and_categories(tmp_path: Path) -> None:
    import lightgbm

    data = lightgbm.Dataset(WITH_KIND, TABLE["Torque [Nm]"])
    lightgbm.train({"verbosity": -1}, data, 5).save_model(tmp_path / "model.txt")
    drafted(tmp_path, tmp_path / "model.txt")
    golden = spec_in(tmp_path).golden[0].inputs
    assert golden["Air_temperature_K"] == pytest.approx(300, abs=5)
    assert golden["Type"] in ("H", "L", "M")


@needs("lightgbm")
def test_features_of_an_array_are_named_by_the_sample(tmp_path: Path) -> None:
    import lightgbm

    model = lightgbm.LGBMRegressor(n_estimators=5, verbosity=-1).fit(PLAIN.to_numpy(), TABLE[TARGET])
    model.booster_.save_model(tmp_path / "model.txt")
    drafted(tmp_path, tmp_path / "model.txt", sample=table_file(TABLE[NUMBERS], tmp_path))
    assert spec_in(tmp_path).input_names == NUMBERS
    expected = model.predict(pd.DataFrame(SHOWN[NUMBERS]).to_numpy())
    assert answers(served(tmp_path), SHOWN)["value"] == pytest.approx(list(expected))


@needs("catboost")
def test_catboost_has_the_names_of_its_classes(tmp_path: Path) -> None:
    import catboost

    table = PLAIN.assign(Type=TABLE["Type"])
    model = catboost.CatBoostClassifier(iterations=5, verbose=0, allow_writing_files=False)
    model.fit(table, TABLE[TARGET].map({0: "good", 1: "bad"}), cat_features=["Type"])
    model.save_model(tmp_path / "model.cbm")
    drafted(tmp_path, tmp_path / "model.cbm", sample=table_file(TABLE, tmp_path))
    spec = spec_in(tmp_path)
    assert (spec.input_names, spec.classes) == ([*NUMBERS, "Type"], ("bad", "good"))
    rows = SHOWN.rename(columns=dict(zip(NUMBERS, PLAIN.columns, strict=True)))
    expected = model.predict_proba(rows[list(table.columns)])
    assert answers(served(tmp_path), rows)["probabilities"] == pytest.approx(expected)


@needs("xgboost", "lightgbm")
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("model.json", b'{"learner":{}}', "is no complete model of XGBoost: copy it again, or save it with"),
        ("notes.txt", b"hello", "is no file of lightgbm: save the model with"),
        ("cut.txt", b"tree\nversion=v4\n", "is cut off before its last tree: copy it again"),
    ],
)
def test_another_file_is_refused_in_plain_words(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DraftError, match=reason):
        drafted(tmp_path, tmp_path / name)
