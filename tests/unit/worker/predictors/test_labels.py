"""Labels: the class that a model predicts, which may not be the class of highest probability."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Perceptron,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from shared.columns import Array, Columns
from shared.errors import ArtifactError, PredictionFailedError
from shared.specs import ModelSpec
from tests.support.artifacts import load, version_of
from tests.support.specimens import classifier
from worker.predictors import Predictor
from worker.predictors.call_limit import CallLimit
from worker.predictors.labels import LabelRule, close_rows, label_rule
from worker.predictors.outputs import as_batch, as_columns

RNG = np.random.default_rng(5)
ROWS = RNG.normal(size=(300, 2))
SCORES = ROWS[:, 0] + 0.5 * ROWS[:, 1] + RNG.normal(0, 0.8, 300)
THREE = np.digitize(SCORES, [-0.5, 0.7])
TWO = (SCORES > 0.6).astype(int)
FRESH = RNG.normal(size=(500, 2)) * 1.5
INPUTS = [{"name": name, "type": "float", "example": 0.1} for name in ("a", "b")]
LABELS = [{"name": view, "view": view} for view in ("label", "class_index")]


def two(**changes: Any) -> ModelSpec:
    return classifier(**({"classes": ["ok", "defect"], "inputs": INPUTS} | changes))


def three(**changes: Any) -> ModelSpec:
    return classifier(**({"inputs": INPUTS} | changes))


def columns_of(rows: Array) -> Columns:
    return {"a": rows[:, 0].copy(), "b": rows[:, 1].copy()}


def shown(predictor: Predictor, rows: Array) -> dict[str, list[Any]]:
    answer = predictor.predict(columns_of(rows))
    outputs = dict(
        zip([o.name for o in predictor.spec.outputs], as_columns(predictor.spec, answer), strict=True)
    )
    by_job = as_batch(predictor.spec, answer).to_pydict()
    assert {name: by_job[name] for name in outputs} == outputs  # a job gives the same answers
    return outputs


class CostSensitive(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """A missed defect costs nine times a false alarm; its classes are not sorted."""

    def fit(self, rows: Array, classes: Array) -> CostSensitive:
        self.model_ = LogisticRegression().fit(rows, classes)
        self.classes_ = self.model_.classes_[::-1]
        return self

    def predict_proba(self, rows: Array) -> Array:
        return np.asarray(self.model_.predict_proba(rows))[:, ::-1]

    def predict(self, rows: Array) -> Array:
        return np.asarray(self.classes_[(self.predict_proba(rows)[:, 0] < 0.1).astype(int)])


class Cautious(RandomForestClassifier):  # type: ignore[misc]  # sklearn has no types
    """Derived from a class with the most probable classes as labels; its own labels differ."""

    def predict(self, rows: Array) -> Array:
        return np.asarray(self.classes_[(self.predict_proba(rows)[:, 1] > 0.1).astype(int)])


class OneCorner(RandomForestClassifier):  # type: ignore[misc]  # sklearn has no types
    """It differs only far away from all rows that are run when it is loaded."""

    def predict(self, rows: Array) -> Array:
        usual = np.asarray(super().predict(rows))
        return np.where(np.abs(rows[:, 0] - 123.25) < 1e-9, 1 - usual, usual)


MODELS_OF_TWO = [
    FixedThresholdClassifier(RandomForestClassifier(20, random_state=1), threshold=0.15),
    FixedThresholdClassifier(LogisticRegression(), threshold=0.9),
    TunedThresholdClassifierCV(LogisticRegression(), scoring="balanced_accuracy"),
    make_pipeline(StandardScaler(), FixedThresholdClassifier(LogisticRegression(), threshold=0.2)),
    GridSearchCV(
        FixedThresholdClassifier(LogisticRegression()), {"threshold": [0.15]}, scoring="balanced_accuracy"
    ),
    StackingClassifier(
        [("forest", RandomForestClassifier(5, random_state=1))],
        FixedThresholdClassifier(LogisticRegression(), threshold=0.1),
    ),
    CostSensitive(),
    Cautious(10, random_state=1),
    RandomForestClassifier(10, random_state=1),
    GradientBoostingClassifier(n_estimators=10),
    HistGradientBoostingClassifier(max_iter=10),
    GaussianNB(),
]


@pytest.mark.parametrize("estimator", MODELS_OF_TWO, ids=lambda estimator: str(estimator)[:60])
@pytest.mark.parametrize("labels", [[0, 1], [False, True], ["ok", "zz"], [3.0, 7.0]], ids=str)
def test_the_label_is_what_the_model_predicts(tmp_path: Path, estimator: Any, labels: list[Any]) -> None:
    names = ["ok", "zz"]
    if isinstance(estimator, CostSensitive) and isinstance(labels[0], str):
        names = names[::-1]
    estimator.fit(ROWS, np.array(labels)[TWO])
    predictor = load(version_of(two(classes=names), estimator, tmp_path))
    answer = shown(predictor, FRESH)
    expected = [list(estimator.classes_).index(one) for one in estimator.predict(FRESH)]
    assert answer["class_index"] == expected
    assert answer["label"] == [names[number] for number in expected]
    probabilities = estimator.predict_proba(FRESH)
    assert answer["confidence"] == probabilities[np.arange(len(FRESH)), expected].tolist()
    assert answer["probabilities"] == probabilities.tolist()


def test_a_threshold_of_15_percent_finds_the_defects_that_predict_finds(tmp_path: Path) -> None:
    model = FixedThresholdClassifier(RandomForestClassifier(30, random_state=1), threshold=0.15)
    model.fit(ROWS, TWO)
    answer = shown(load(version_of(two(), model, tmp_path)), FRESH)
    assert answer["class_index"].count(1) == int(model.predict(FRESH).sum())
    by_argmax = int(model.predict_proba(FRESH).argmax(axis=1).sum())
    assert answer["class_index"].count(1) > by_argmax


MODELS_OF_THREE = [
    SVC(probability=True, random_state=1, C=100),
    CalibratedClassifierCV(LinearSVC(), ensemble=False),
    OneVsRestClassifier(LogisticRegression(C=1e6)),
    SGDClassifier(loss="modified_huber", random_state=1),
    KNeighborsClassifier(4, weights="distance"),
    MLPClassifier((4,), max_iter=20, random_state=1),
    VotingClassifier([("tree", DecisionTreeClassifier()), ("nb", GaussianNB())], voting="soft"),
    ExtraTreesClassifier(10, random_state=1),
    LogisticRegression(C=1e6),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("estimator", MODELS_OF_THREE, ids=lambda estimator: str(estimator)[:60])
def test_the_label_of_three_classes_is_what_the_model_predicts(tmp_path: Path, estimator: Any) -> None:
    estimator.fit(ROWS, THREE)
    predictor = load(version_of(three(), estimator, tmp_path))
    for rows in (FRESH, FRESH * 1000, FRESH[:1], FRESH[:7]):
        assert shown(predictor, rows)["class_index"] == estimator.predict(rows).tolist()


@pytest.mark.parametrize(
    "estimator",
    [
        LinearSVC(),
        RidgeClassifier(),
        Perceptron(),
        SVC(),
        VotingClassifier([("tree", DecisionTreeClassifier()), ("nb", GaussianNB())], voting="hard"),
        make_pipeline(StandardScaler(), LinearSVC()),
        FixedThresholdClassifier(LinearSVC(), threshold=0.4, response_method="decision_function"),
    ],
    ids=lambda estimator: str(estimator)[:60],
)
def test_a_model_without_probabilities_has_a_label_and_no_confidence(tmp_path: Path, estimator: Any) -> None:
    estimator.fit(ROWS, np.array(["defect", "ok"])[TWO])
    spec = two(classes=["defect", "ok"], outputs=LABELS)
    answer = shown(load(version_of(spec, estimator, tmp_path / "right")), FRESH)
    assert answer["label"] == estimator.predict(FRESH).tolist()
    with pytest.raises(ArtifactError, match=r"no class prob.*'confidence' needs .* only label"):
        load(version_of(two(classes=["defect", "ok"]), estimator, tmp_path / "wrong"))


def test_an_outlier_detector_names_outliers_first(tmp_path: Path) -> None:
    model = IsolationForest(n_estimators=20, random_state=1).fit(ROWS)
    spec = two(classes=["outlier", "normal"], outputs=LABELS)
    answer = shown(load(version_of(spec, model, tmp_path)), FRESH)
    assert answer["label"] == ["outlier" if one == -1 else "normal" for one in model.predict(FRESH)]


def test_a_model_that_differs_only_where_no_row_was_tried_is_answered_by_its_predict(tmp_path: Path) -> None:
    model = OneCorner(10, random_state=1).fit(ROWS, TWO)
    predictor = load(version_of(two(), model, tmp_path))
    rows = np.array([[123.25, 0.0], [123.5, 0.0]])
    assert shown(predictor, rows)["class_index"] == model.predict(rows).tolist() == [0, 1]


def test_labels_where_rounding_makes_probabilities_equal_come_from_the_scores(tmp_path: Path) -> None:
    """At 0 binary boosting predicts the second class; logistic regression of tiny scores keeps their
    order."""
    boosting = GradientBoostingClassifier(n_estimators=2).fit([[0.0, 0.0]] * 4, [0, 1, 0, 1])
    line = LogisticRegression().fit(ROWS, TWO)
    line.coef_, line.intercept_ = np.array([[1e-18, 0.0]]), np.array([0.0])
    for number, model in enumerate((boosting, line)):
        predictor = load(version_of(two(), model, tmp_path / str(number)))
        assert shown(predictor, FRESH)["class_index"] == model.predict(FRESH).tolist()
        assert 1 in model.predict(FRESH)
        assert model.predict_proba(FRESH).argmax(axis=1).sum() == 0


def test_the_labels_of_a_runtime_that_may_be_off_are_those_of_predict(tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, TWO)
    spec = two(runtime="onnx", tolerance=1e-4)
    predictor = load(version_of(spec, model, tmp_path))
    scaler, line = model[0], model[-1]
    direction = line.coef_[0] / scaler.scale_
    offset = line.intercept_[0] - float(direction @ scaler.mean_)
    near = np.array([[x, -(offset + direction[0] * x) / direction[1]] for x in np.linspace(-2, 2, 400)])
    assert shown(predictor, near)["class_index"] == model.predict(near).tolist()


def test_a_model_whose_labels_are_those_of_predict_is_not_compiled_and_says_so(tmp_path: Path) -> None:
    predictor = load(version_of(two(), Cautious(10, random_state=1).fit(ROWS, TWO), tmp_path))
    assert predictor.runtimes.in_words() == (
        "native (Cautious takes its labels from predict, which is not compiled)"
    )


def test_parts_of_a_call_are_joined_whether_or_not_their_labels_are_apart(tmp_path: Path) -> None:
    model = GradientBoostingClassifier(n_estimators=5).fit(ROWS, TWO)
    predictor = load(version_of(two(), model, tmp_path))
    whole, parts = (
        predictor.predict(columns_of(FRESH)),
        CallLimit(rows=7).predict(predictor, columns_of(FRESH)),
    )
    assert as_columns(predictor.spec, parts) == as_columns(predictor.spec, whole)


@pytest.mark.parametrize(
    ("classes", "fitted"),
    [(["1", "0"], [0, 1]), (["True", "False"], [False, True]), (["b", "a"], ["a", "b"])],
)
def test_names_of_the_fitted_classes_in_another_order_are_refused(
    tmp_path: Path, classes: list[str], fitted: list[Any]
) -> None:
    model = RandomForestClassifier(5).fit(ROWS, np.array(fitted)[TWO])
    with pytest.raises(ArtifactError, match="the estimator's classes are"):
        load(version_of(two(classes=classes), model, tmp_path))


def test_a_regressor_predicts_no_classes(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="LinearRegression predicts no classes"):
        load(version_of(two(outputs=LABELS), LinearRegression().fit(ROWS, SCORES), tmp_path))


class Stranger(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """It predicts a value that is none of its classes."""

    def __init__(self) -> None:
        self.classes_ = np.array(["a", "b"])

    def predict(self, rows: Array) -> Array:
        return np.array(["a" if x < 1 else "zebra" for x in rows[:, 0]])


def test_a_prediction_of_no_class_fails_the_row(tmp_path: Path) -> None:
    predictor = load(version_of(two(classes=["a", "b"], outputs=LABELS), Stranger(), tmp_path))
    assert shown(predictor, np.zeros((1, 2)))["label"] == ["a"]
    with pytest.raises(PredictionFailedError, match=r"'zebra'.*not a known class"):
        predictor.predict(columns_of(np.ones((1, 2))))


@pytest.mark.parametrize(
    ("estimator", "rule"),
    [
        (RandomForestClassifier(), LabelRule.ARGMAX),
        (LogisticRegression(), LabelRule.SCORES),
        (make_pipeline(StandardScaler(), LogisticRegression()), LabelRule.SCORES),
        (SVC(probability=True), LabelRule.PREDICT),
        (Cautious(), LabelRule.PREDICT),
        (VotingClassifier([("t", DecisionTreeClassifier())], voting="soft"), LabelRule.ARGMAX),
    ],
    ids=lambda one: str(one)[:40],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_rule_follows_from_the_class_of_the_estimator(estimator: Any, rule: LabelRule) -> None:
    assert label_rule(estimator) is rule


def test_an_instance_with_a_predict_of_its_own_is_asked() -> None:
    forest = RandomForestClassifier()
    forest.predict = lambda rows: np.zeros(len(rows))
    assert label_rule(forest) is LabelRule.PREDICT


@pytest.mark.parametrize("classes", [2, 3, 8, 9])
@pytest.mark.parametrize("rows", [1, 3, 500])
def test_close_rows_are_those_whose_two_highest_probabilities_are_close(classes: int, rows: int) -> None:
    given = RNG.dirichlet(np.ones(classes), rows)
    given[-1, -2:] = given[-1, -2:].max() + 1
    given /= given.sum(axis=1, keepdims=True)
    ordered = np.sort(given, axis=1)
    for margin in (1e-9, 0.05):
        found = close_rows(given, margin)
        assert found is not None
        assert found.tolist() == np.flatnonzero(ordered[:, -1] - ordered[:, -2] < margin).tolist()
    assert close_rows(np.eye(classes), 0.5) is None
