"""`takt models new` on scikit-learn estimators: the model that it makes answers as the estimator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import OneClassSVM

from shared.output_specs import View
from tests.support import ai4i
from tests.support.ai4i import FEATURES, NUMBERS, TARGET
from tests.support.drafts import answers, drafted, served, spec_in, stored, table_file
from tests.support.frameworks import needs
from worker.models.drafting.artifact_facts import DraftError

TABLE = ai4i.table(600)
SHOWN = TABLE.head(50)


def encoded(encoder: Any) -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return ColumnTransformer([("kind", encoder, ["Type"]), ("numbers", numbers, NUMBERS)])


def test_a_pipeline_on_a_raw_table_keeps_its_headers_types_and_categories(tmp_path: Path) -> None:
    model = make_pipeline(encoded(OneHotEncoder()), RandomForestClassifier(10, random_state=1))
    model.fit(TABLE[FEATURES], TABLE[TARGET])
    made = drafted(tmp_path, stored(model, tmp_path), sample=table_file(TABLE, tmp_path))
    spec, shown = spec_in(tmp_path), answers(served(tmp_path), SHOWN)
    assert spec.input_names == FEATURES
    assert [field.type.value for field in spec.inputs] == [
        "string",
        "float",
        "float",
        "int64",
        "float",
        "int64",
    ]
    assert spec.inputs[0].allowed == ("H", "L", "M")
    assert spec.classes == ("0", "1")
    assert {row.outputs["prediction"] for row in spec.golden} == {"0", "1"}
    assert made.unused == ("UDI", "Product ID", TARGET)
    assert shown["prediction"] == model.predict(SHOWN[FEATURES]).astype(str).tolist()
    assert shown["probabilities"] == model.predict_proba(SHOWN[FEATURES]).tolist()


def test_a_file_alone_is_enough(tmp_path: Path) -> None:
    model = make_pipeline(encoded(OrdinalEncoder()), RandomForestClassifier(10, random_state=1))
    model.fit(TABLE[FEATURES], TABLE[TARGET].map({0: "양호", 1: "불량"}))
    made = drafted(tmp_path, stored(model, tmp_path))
    assert spec_in(tmp_path).classes == ("불량", "양호")
    assert spec_in(tmp_path).golden[0].inputs["Air temperature [K]"] == pytest.approx(300, abs=1)
    assert any("--sample" in note for note in made.notes)


def test_an_encoder_that_ignores_unknown_categories_limits_none(tmp_path: Path) -> None:
    model = make_pipeline(encoded(OneHotEncoder(handle_unknown="ignore")), LinearRegression())
    model.fit(TABLE[FEATURES], TABLE[TARGET])
    drafted(tmp_path, stored(model, tmp_path), sample=table_file(TABLE, tmp_path, "sample.parquet"))
    assert spec_in(tmp_path).inputs[0].allowed is None
    assert '# allowed = ["H", "L", "M"]' in (tmp_path / "models" / "drafted" / "model.toml").read_text()
    assert answers(served(tmp_path), SHOWN)["value"] == model.predict(SHOWN[FEATURES]).tolist()


def test_a_sample_shows_which_inputs_may_be_missing(tmp_path: Path) -> None:
    gaps = TABLE.assign(**{"Torque [Nm]": TABLE["Torque [Nm]"].where(TABLE["UDI"] % 3 > 0)})
    model = make_pipeline(encoded(OneHotEncoder()), LinearRegression()).fit(gaps[FEATURES], gaps[TARGET])
    drafted(tmp_path, stored(model, tmp_path), sample=table_file(gaps, tmp_path))
    assert [field.name for field in spec_in(tmp_path).inputs if field.nullable] == ["Torque [Nm]"]


@pytest.mark.parametrize("detector", [IsolationForest(random_state=1), OneClassSVM()], ids=str)
def test_an_anomaly_detector_shows_its_label_and_its_score(tmp_path: Path, detector: Any) -> None:
    detector.fit(TABLE[NUMBERS])
    drafted(tmp_path, stored(detector, tmp_path), sample=table_file(TABLE, tmp_path))
    shown = answers(served(tmp_path), SHOWN)
    expected = np.where(detector.predict(SHOWN[NUMBERS]) > 0, "normal", "outlier")
    assert shown["prediction"] == expected.tolist()
    assert shown["score"] == pytest.approx(detector.score_samples(SHOWN[NUMBERS]).tolist())


def test_a_clustering_shows_the_number_and_the_distances(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), KMeans(3, n_init=2, random_state=1)).fit(TABLE[NUMBERS])
    drafted(tmp_path, stored(model, tmp_path, "k.pkl"), sample=table_file(TABLE, tmp_path))
    shown = answers(served(tmp_path), SHOWN)
    assert shown["cluster"] == model.predict(SHOWN[NUMBERS]).tolist()
    assert all(isinstance(number, int) for number in shown["cluster"])
    assert shown["distances"] == pytest.approx(model.transform(SHOWN[NUMBERS]))


def test_a_transformation_shows_the_transformed_row(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), PCA(2)).fit(TABLE[NUMBERS])
    drafted(tmp_path, stored(model, tmp_path), sample=table_file(TABLE, tmp_path))
    shown = answers(served(tmp_path), SHOWN)
    assert np.asarray(shown["transformed"]) == pytest.approx(model.transform(SHOWN[NUMBERS]))


def test_several_values_and_several_classes_are_outputs_of_their_own(tmp_path: Path) -> None:
    values = LinearRegression().fit(TABLE[NUMBERS[:3]], TABLE[NUMBERS[3:]])
    drafted(tmp_path, stored(values, tmp_path), sample=table_file(TABLE, tmp_path))
    assert answers(served(tmp_path), SHOWN)["values"] == values.predict(SHOWN[NUMBERS[:3]]).tolist()
    inside = make_pipeline(StandardScaler(), LogisticRegression())
    classes = MultiOutputClassifier(inside).fit(TABLE[NUMBERS], TABLE[["Type", TARGET]].astype(str))
    drafted(tmp_path, stored(classes, tmp_path), sample=table_file(TABLE, tmp_path), force=True)
    shown = answers(served(tmp_path), SHOWN)
    assert [shown["prediction_0"], shown["prediction_1"]] == classes.predict(SHOWN[NUMBERS]).T.tolist()


def test_labels_without_probabilities_are_enough(tmp_path: Path) -> None:
    model = RidgeClassifier().fit(TABLE[NUMBERS], TABLE["Type"])
    drafted(tmp_path, stored(model, tmp_path), sample=table_file(TABLE, tmp_path))
    assert [output.view for output in spec_in(tmp_path).outputs] == [View.LABEL]
    assert answers(served(tmp_path), SHOWN)["prediction"] == model.predict(SHOWN[NUMBERS]).tolist()


def test_a_text_pipeline_takes_the_only_column_of_texts_that_is_no_target(tmp_path: Path) -> None:
    texts = pd.DataFrame(
        {
            "메시지": ["베어링 온도 상승", "정상 가동 중", "모터 진동 이상", "정상 점검 완료"] * 5,
            "라벨": ["이상", "정상"] * 10,
        }
    )
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts["메시지"], texts["라벨"])
    made = drafted(tmp_path, stored(model, tmp_path), sample=table_file(texts, tmp_path))
    assert (spec_in(tmp_path).input_names, made.unused) == (["메시지"], ("라벨",))
    assert answers(served(tmp_path), texts)["prediction"] == model.predict(texts["메시지"]).tolist()


def test_features_without_names_are_named_by_the_sample_by_an_option_or_by_number(tmp_path: Path) -> None:
    model = LinearRegression().fit(TABLE[NUMBERS].to_numpy(), TABLE[TARGET])
    path = stored(model, tmp_path)
    drafted(tmp_path, path)
    assert spec_in(tmp_path).input_names == ["x0", "x1", "x2", "x3", "x4"]
    with pytest.raises(DraftError, match=r"takes 5 inputs and records no names.*--inputs"):
        drafted(tmp_path, path, sample=table_file(TABLE, tmp_path), force=True)
    only = table_file(TABLE[NUMBERS], tmp_path, "only.csv")
    drafted(tmp_path, path, sample=only, force=True)
    assert spec_in(tmp_path).input_names == NUMBERS
    drafted(tmp_path, path, inputs=("a", "온도", "c [K]", "d", "e"), force=True)
    assert spec_in(tmp_path).input_names == ["a", "온도", "c [K]", "d", "e"]


def test_many_features_without_names_are_one_tensor(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(50, 100))
    model = LinearRegression().fit(rows, rows[:, 0])
    drafted(tmp_path, stored(model, tmp_path))
    (field,) = spec_in(tmp_path).inputs
    assert field.shape == (100,)


@needs("skops")
def test_a_file_of_skops_lists_the_types_to_trust(tmp_path: Path) -> None:
    import skops.io

    model = RandomForestClassifier(3, random_state=1).fit(TABLE[NUMBERS], TABLE[TARGET])
    skops.io.dump(model, tmp_path / "model.skops")
    with pytest.raises(DraftError, match=r"'sklearn.tree._tree.Tree'.* name each with --trust"):
        drafted(tmp_path, tmp_path / "model.skops")
    drafted(tmp_path, tmp_path / "model.skops", trusted=("sklearn.tree._tree.Tree",))
    shown = answers(served(tmp_path), SHOWN)["probabilities"]
    assert shown == model.predict_proba(SHOWN[NUMBERS]).tolist()


class NoModel:
    """An object without predict and transform."""


class Unfinished(BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """An estimator that fails on every row."""

    n_features_in_ = 2

    def predict(self, _rows: Any) -> Any:
        raise ValueError("not today")


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        (NoModel(), "holds a NoModel, which has no predict: save the fitted"),
        (RandomForestClassifier(), "the RandomForestClassifier is not fitted: save it"),
        (Unfinished(), "the model answers no row: .*not today"),
    ],
    ids=["no model", "not fitted", "fails"],
)
def test_what_is_no_model_is_refused_in_plain_words(tmp_path: Path, thing: object, reason: str) -> None:
    with pytest.raises(DraftError, match=reason):
        drafted(tmp_path, stored(thing, tmp_path))
    assert not list((tmp_path / "models").glob("*"))
