"""Several outputs of an estimator: its methods, and several classes or values per row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shared.columns import Array
from shared.errors import ArtifactError
from tests.support.artifacts import load, version_of
from tests.support.specimens import declaration
from worker.predictors import Predictor
from worker.predictors.outputs import as_columns

RNG = np.random.default_rng(3)
ROWS = RNG.normal(size=(60, 3))
FRESH = RNG.normal(size=(9, 3))
FEATURES = [{"name": name, "type": "float", "example": 0.5} for name in ("a", "b", "c")]
COLOR = np.where(ROWS[:, 0] > 0, "red", "blue")
GRADE = np.digitize(ROWS[:, 1], [-0.5, 0.5])
TARGETS = ROWS @ RNG.normal(size=(3, 2))


def predictor_of(tmp_path: Path, estimator: Any, *outputs: dict[str, Any], **changes: Any) -> Predictor:
    spec = declaration(**({"inputs": FEATURES, "outputs": list(outputs)} | changes))
    return load(version_of(spec, estimator, tmp_path))


def shown(predictor: Predictor, rows: Array = FRESH) -> dict[str, list[Any]]:
    columns = dict(zip("abc", rows.T, strict=True))
    names = [output.name for output in predictor.spec.outputs]
    return dict(zip(names, as_columns(predictor.spec, predictor.predict(columns)), strict=True))


def value(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "view": "value"} | changes


def test_an_anomaly_has_its_label_and_its_score(tmp_path: Path) -> None:
    forest = IsolationForest(n_estimators=20, random_state=1).fit(ROWS)
    predictor = predictor_of(
        tmp_path,
        forest,
        {"name": "state", "view": "label", "classes": ["anomaly", "normal"]},
        value("sign", method="predict", type="int64"),
        value("score", method="score_samples"),
        value("distance", method="decision_function"),
    )
    signs = forest.predict(FRESH).tolist()
    assert shown(predictor) == {
        "state": ["anomaly" if sign < 0 else "normal" for sign in signs],
        "sign": signs,
        "score": forest.score_samples(FRESH).tolist(),
        "distance": forest.decision_function(FRESH).tolist(),
    }


def test_a_cluster_has_its_number_and_its_distances(tmp_path: Path) -> None:
    means = KMeans(n_clusters=4, n_init=1, random_state=1).fit(ROWS)
    predictor = predictor_of(
        tmp_path,
        make_pipeline(StandardScaler().fit(ROWS), means),
        value("cluster", type="int64"),
        {"name": "distances", "view": "tensor", "shape": [4], "method": "transform"},
    )
    pipeline = make_pipeline(StandardScaler().fit(ROWS), means)
    assert shown(predictor) == {
        "cluster": pipeline.predict(FRESH).tolist(),
        "distances": pipeline.transform(FRESH).tolist(),
    }


def test_a_transformer_needs_no_predict(tmp_path: Path) -> None:
    pca = PCA(2).fit(ROWS)
    tensor = {"name": "t", "view": "tensor", "shape": [2], "method": "transform", "type": "float32"}
    predictor = predictor_of(tmp_path, pca, tensor)
    expected = pca.transform(FRESH).astype(np.float32)
    assert np.array_equal(np.array(shown(predictor)["t"], np.float32), expected)


def test_a_sparse_answer_becomes_a_tensor(tmp_path: Path) -> None:
    texts = ["베어링 소음", "펌프 누유", "bearing noise"]
    vectorizer = TfidfVectorizer().fit(texts)
    spec = declaration(
        inputs=[{"name": "text", "type": "string", "example": "베어링"}],
        outputs=[{"name": "t", "view": "tensor", "shape": [6], "method": "transform"}],
    )
    predictor = load(version_of(spec, vectorizer, tmp_path))
    answer = as_columns(spec, predictor.predict({"text": np.array(texts, dtype=object)}))
    assert answer == [vectorizer.transform(texts).toarray().tolist()]


def test_a_regressor_of_several_targets_has_an_output_for_each(tmp_path: Path) -> None:
    line = LinearRegression().fit(ROWS, TARGETS)
    predictor = predictor_of(
        tmp_path,
        line,
        value("second", column=1),
        value("first", column=0, type="float32"),
        {"name": "both", "view": "tensor", "shape": [2]},
    )
    expected = line.predict(FRESH)
    answer = shown(predictor)
    assert answer["second"] == expected[:, 1].tolist()
    assert np.array_equal(np.array(answer["first"], np.float32), expected[:, 0].astype(np.float32))
    assert answer["both"] == expected.tolist()


@pytest.mark.parametrize(
    "estimator",
    [RandomForestClassifier(10, random_state=1), MultiOutputClassifier(LogisticRegression())],
    ids=["forest", "wrapper"],
)
def test_a_classifier_of_several_classes_has_views_of_each(tmp_path: Path, estimator: Any) -> None:
    estimator.fit(ROWS, np.stack([COLOR, GRADE.astype(str)], axis=1))
    color: dict[str, Any] = {"column": 0, "classes": ["blue", "red"]}
    grade: dict[str, Any] = {"column": 1, "classes": ["0", "1", "2"]}
    predictor = predictor_of(
        tmp_path,
        estimator,
        {"name": "color", "view": "label"} | color,
        {"name": "sure", "view": "confidence"} | color,
        {"name": "grade", "view": "label"} | grade,
        {"name": "grades", "view": "probabilities"} | grade,
        value("raw", method="predict", column=1, type="string"),
    )
    predicted, probabilities = estimator.predict(FRESH), estimator.predict_proba(FRESH)
    assert shown(predictor) == {
        "color": predicted[:, 0].tolist(),
        "sure": probabilities[0].max(axis=1).tolist(),
        "grade": predicted[:, 1].tolist(),
        "grades": probabilities[1].tolist(),
        "raw": predicted[:, 1].tolist(),
    }
    assert predictor.runtimes.note == "only a single prediction is compiled, and no output shows one"


def test_a_prediction_is_compiled_beside_a_method_that_is_not(tmp_path: Path) -> None:
    forest = RandomForestClassifier(10, random_state=1).fit(ROWS, COLOR)
    classes = {"classes": ["blue", "red"]}
    predictor = predictor_of(
        tmp_path,
        forest,
        {"name": "color", "view": "label"} | classes,
        {"name": "sure", "view": "probabilities"} | classes,
        {"name": "leaves", "view": "tensor", "shape": [10], "method": "apply", "type": "int64"},
    )
    assert {runtime.name for runtime in predictor.runtimes.measured} > {"native"}
    assert any(runtime.serves for runtime in predictor.runtimes.measured if runtime.name != "native")
    assert shown(predictor) == {
        "color": forest.predict(FRESH).tolist(),
        "sure": forest.predict_proba(FRESH).tolist(),
        "leaves": forest.apply(FRESH).tolist(),
    }


def test_labels_as_plain_text_need_no_classes(tmp_path: Path) -> None:
    forest = RandomForestClassifier(10, random_state=1).fit(ROWS, COLOR)
    predictor = predictor_of(tmp_path, forest, value("color", type="string"))
    assert shown(predictor) == {"color": forest.predict(FRESH).tolist()}


@pytest.mark.parametrize(
    ("estimator", "target", "outputs", "why"),
    [
        (
            RandomForestRegressor(3),
            TARGETS[:, 0],
            [value("y", method="transform")],
            "no method 'transform'",
        ),
        (PCA(2), None, [{"name": "y", "view": "value", "from": "a"}], "are selected by `method`"),
        (PCA(2), None, [value("y")], "PCA has no method 'predict', which output 'y' shows"),
        (
            RandomForestClassifier(3),
            np.stack([COLOR, COLOR], axis=1),
            [{"name": "y", "view": "label", "classes": ["blue", "red"]}],
            "predicts 2 classes per row: output 'y' needs `column`",
        ),
        (
            RandomForestClassifier(3),
            np.stack([COLOR, COLOR], axis=1),
            [{"name": "y", "view": "label", "classes": ["blue", "red"], "column": 2}],
            "predicts 2 classes per row, and output 'y' shows column 2",
        ),
        (
            RandomForestClassifier(3),
            COLOR,
            [{"name": "y", "view": "label", "classes": ["blue", "red"], "column": 0}],
            "predicts one class per row: output 'y' needs no `column`",
        ),
        (
            RandomForestClassifier(3),
            np.stack([COLOR, GRADE.astype(str)], axis=1),
            [{"name": "y", "view": "label", "classes": ["blue", "red"], "column": 1}],
            "the estimator's classes are 0, 1, 2; the spec's are blue, red",
        ),
        (RandomForestRegressor(3), TARGETS, [value("y", column=2)], "shows column 2, but the answer has 2"),
        (
            RandomForestRegressor(3),
            TARGETS,
            [value("y", type="int64")],
            "shape (1, 2), expected (1,)",
        ),
        (RandomForestRegressor(3), TARGETS[:, 0], [value("y", type="int64")], "which is not int64"),
    ],
)
def test_outputs_that_an_estimator_does_not_have_are_refused_with_the_reason(
    tmp_path: Path, estimator: Any, target: Any, outputs: list[dict[str, Any]], why: str
) -> None:
    estimator.fit(ROWS, target)
    with pytest.raises(ArtifactError) as caught:
        predictor_of(tmp_path, estimator, *outputs)
    assert why in str(caught.value.detail)
