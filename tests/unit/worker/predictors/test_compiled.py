"""Compiled models give scikit-learn's answers, bit for bit, at every call size; or they are not compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from shared.columns import Array, Columns
from shared.errors import PredictionFailedError
from shared.specs import ModelSpec
from tests.support.artifacts import array_of, load, version_of
from tests.support.specimens import classifier, declaration
from worker.predictors import compiled, scikit_learn
from worker.predictors.acceleration import KernelRuntime
from worker.predictors.comparison_rows import probes
from worker.predictors.compiled import Kernel, NotCompiledError, compile_estimator
from worker.predictors.scikit_learn import ScikitLearn

FEATURES = ["a", "b", "c"]
SIZES = (1, 2, 3, 7, 64, 200)
rng = np.random.default_rng(3)
ROWS = rng.normal(size=(240, 3)) * [1.0, 50.0, 0.01]
VALUES = ROWS[:, 0] * 3 + np.sin(ROWS[:, 1]) + rng.normal(size=240) * 0.1
CLASSES = np.digitize(VALUES, [-1.5, 1.5])

SMALL: dict[str, Any] = {"n_estimators": 13, "random_state": 1}
HISTOGRAM: dict[str, Any] = {"max_iter": 13, "random_state": 1}
CLASSIFIERS = [
    DecisionTreeClassifier(random_state=1),
    RandomForestClassifier(**SMALL),
    ExtraTreesClassifier(**SMALL),
    GradientBoostingClassifier(**SMALL),
    GradientBoostingClassifier(init="zero", **SMALL),
    HistGradientBoostingClassifier(**HISTOGRAM),
    LogisticRegression(),
    make_pipeline(StandardScaler(), LogisticRegression()),
]
REGRESSORS = [
    DecisionTreeRegressor(random_state=1),
    RandomForestRegressor(**SMALL),
    RandomForestRegressor(n_estimators=1, random_state=1),
    ExtraTreesRegressor(**SMALL),
    GradientBoostingRegressor(**SMALL),
    HistGradientBoostingRegressor(**HISTOGRAM),
    HistGradientBoostingRegressor(loss="poisson", **HISTOGRAM),
    LinearRegression(),
    make_pipeline(StandardScaler(with_mean=False), Ridge()),
]


def inputs() -> list[dict[str, Any]]:
    return [{"name": name, "type": "float", "example": 0.5} for name in FEATURES]


def spec_of(estimator: Any, **changes: Any) -> ModelSpec:
    make = classifier if hasattr(estimator, "predict_proba") else declaration
    return make(**({"inputs": inputs()} | changes))


def fitted(estimator: Any, rows: Any = ROWS) -> Any:
    positive = np.exp(VALUES / 4)  # a Poisson loss needs positive values
    return estimator.fit(rows, CLASSES if hasattr(estimator, "predict_proba") else positive)


def kernels_of(native: ScikitLearn, spec: ModelSpec) -> dict[str, Kernel]:
    return dict(compile_estimator(native.estimator, probabilities=spec.classifies).kernels)


def assert_same_bits(native: ScikitLearn, spec: ModelSpec) -> None:
    found = compile_estimator(native.estimator, probabilities=spec.classifies)
    rows = probes(spec, native.features, found.thresholds)
    for name, kernel in found.kernels.items():
        for size in (*SIZES, len(rows["a"])):
            columns = {field: values[:size] for field, values in rows.items()}
            answer = KernelRuntime(native, kernel)(columns)
            assert answer.tobytes() == native(columns).tobytes(), f"{name}, {size} rows"


@pytest.mark.parametrize("estimator", [*CLASSIFIERS, *REGRESSORS], ids=str)
def test_a_compiled_model_gives_the_same_bits_at_every_size_of_a_call(estimator: Any) -> None:
    spec = spec_of(estimator)
    assert_same_bits(ScikitLearn(spec, fitted(estimator), threads=1), spec)


@pytest.mark.parametrize("estimator", [RandomForestClassifier(**SMALL), LogisticRegression()], ids=str)
def test_two_classes_give_the_same_bits(estimator: Any) -> None:
    spec = spec_of(estimator, classes=["low", "high"])
    assert_same_bits(ScikitLearn(spec, estimator.fit(ROWS, CLASSES > 0), threads=1), spec)


@pytest.mark.parametrize(
    "boosting", [GradientBoostingClassifier(**SMALL), HistGradientBoostingClassifier(**HISTOGRAM)], ids=str
)
def test_two_classes_of_boosting_give_the_same_bits(boosting: Any) -> None:
    spec = spec_of(boosting, classes=["low", "high"])
    assert_same_bits(ScikitLearn(spec, boosting.fit(ROWS, CLASSES > 0), threads=1), spec)


def test_histogram_boosting_takes_missing_values_compiled_too() -> None:
    rows = ROWS.copy()
    rows[::3, 1] = np.nan
    boosting = fitted(HistGradientBoostingClassifier(**HISTOGRAM), rows)
    for kernel in compile_estimator(boosting, probabilities=True).kernels.values():
        answer = kernel(rows)
        assert answer is not None
        assert answer.tobytes() == boosting.predict_proba(rows).tobytes()


@pytest.mark.parametrize(
    "estimator", [RandomForestClassifier(**SMALL), make_pipeline(StandardScaler(), LogisticRegression())]
)
def test_a_model_that_was_fitted_on_a_table_takes_its_columns_in_the_tables_order(estimator: Any) -> None:
    table = pd.DataFrame(ROWS, columns=FEATURES)[["c", "a", "b"]]
    spec = spec_of(estimator)
    native = ScikitLearn(spec, fitted(estimator, table), threads=1)
    assert native.features == ["c", "a", "b"]
    assert_same_bits(native, spec)


def test_whole_numbers_give_the_same_bits() -> None:
    forest = fitted(RandomForestRegressor(**SMALL), np.rint(ROWS))
    whole = [{"name": name, "type": "int64", "example": 1} for name in FEATURES]
    spec = spec_of(forest, inputs=whole)
    assert_same_bits(ScikitLearn(spec, forest, threads=1), spec)


def deep(**changes: Any) -> Any:
    """A forest with a tree of more leaves than a word has bits."""
    rows = rng.normal(size=(600, 3))
    return RandomForestRegressor(n_estimators=3, random_state=1, **changes).fit(rows, rows.prod(axis=1))


def test_trees_of_many_leaves_are_walked_and_give_the_same_bits() -> None:
    spec = spec_of(RandomForestRegressor())
    native = ScikitLearn(spec, deep(), threads=1)
    assert set(kernels_of(native, spec)) == {"walk"}
    assert_same_bits(native, spec)


@pytest.mark.parametrize("leaves", [2, 32, 33, 64])
def test_trees_of_a_words_bits_are_scored_at_once_and_give_the_same_bits(leaves: int) -> None:
    spec = spec_of(RandomForestRegressor())
    native = ScikitLearn(spec, deep(max_leaf_nodes=leaves), threads=1)
    assert set(kernels_of(native, spec)) == {"walk", "quickscorer"}
    assert_same_bits(native, spec)


def test_a_tree_that_is_one_leaf_gives_the_same_bits() -> None:
    spec = spec_of(DecisionTreeClassifier())
    stump = DecisionTreeClassifier(random_state=1, max_depth=1, min_samples_leaf=150)
    native = ScikitLearn(spec, fitted(stump), threads=1)
    assert native.estimator.tree_.node_count == 1
    assert_same_bits(native, spec)


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("estimator", [RandomForestClassifier(**SMALL), LogisticRegression()], ids=str)
def test_rows_that_are_no_finite_numbers_are_left_to_the_native_model(estimator: Any, odd: float) -> None:
    spec = spec_of(estimator)
    native = ScikitLearn(spec, fitted(estimator), threads=1)
    columns: Columns = {name: np.array([1.0, odd]) for name in FEATURES}
    for kernel in kernels_of(native, spec).values():
        assert answer_or_error(KernelRuntime(native, kernel), columns) == answer_or_error(native, columns)


def answer_or_error(runtime: Any, columns: Columns) -> object:
    with np.errstate(all="ignore"):
        try:
            return runtime(columns).tolist()
        except ValueError as error:
            return str(error)


class Derived(RandomForestClassifier):  # type: ignore[misc]  # scikit-learn has no types
    """A forest that may answer differently."""


@pytest.mark.parametrize(
    ("estimator", "why"),
    [
        (Derived(**SMALL), "Derived is not compiled"),
        (make_pipeline(MinMaxScaler(), LogisticRegression()), "a Pipeline with MinMaxScaler is not compiled"),
        (
            make_pipeline(StandardScaler(), DecisionTreeClassifier()),
            "a Pipeline with DecisionTreeClassifier is not",
        ),
        (
            HistGradientBoostingClassifier(categorical_features=[0], **HISTOGRAM),
            "categorical features are not compiled",
        ),
        (
            GradientBoostingClassifier(init=LogisticRegression(), **SMALL),
            "begins with LogisticRegression is not",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_compiled_says_so(estimator: Any, why: str) -> None:
    with pytest.raises(NotCompiledError, match=why):
        compile_estimator(fitted(estimator, np.abs(np.rint(ROWS))), probabilities=True)


def test_a_forest_of_too_many_nodes_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.predictors.compiled.forest.MOST_NODES", 10)
    with pytest.raises(NotCompiledError, match="more than 10 nodes"):
        compile_estimator(fitted(RandomForestClassifier(**SMALL)), probabilities=True)


def iris_like(folder: Path, **changes: Any) -> Any:
    forest = fitted(RandomForestClassifier(n_estimators=30, max_leaf_nodes=30, random_state=1))
    batching = {"max_rows": 8, "max_slice_rows": 256}  # less to measure
    return version_of(spec_of(forest, batching=batching, **changes), forest, folder)


def test_a_loaded_forest_is_run_compiled_and_says_how_it_was_compared(tmp_path: Path) -> None:
    predictor = load(iris_like(tmp_path))
    native, *others = predictor.runtimes.measured
    assert "native" not in predictor.runtimes.in_words()
    assert {one.name for one in others} == {"walk", "quickscorer"}
    assert all(one.bit_equal and one.compared_rows > 1000 for one in others)
    assert others[0].rows_per_s[1] > native.rows_per_s[1]
    serving = next(one for one in others if 1 in one.serves)
    assert predictor.rates[1] == pytest.approx(serving.rows_per_s[1], abs=0.1)


@pytest.mark.parametrize(
    ("where", "why"), [("spec", "set by model.toml"), ("setting", "set by TAKT_RUNTIME")]
)
def test_native_by_wish_stays_native(tmp_path: Path, where: str, why: str) -> None:
    version = iris_like(tmp_path, runtime="native" if where == "spec" else "auto")
    predictor = load(version, runtime="native" if where == "setting" else "auto")
    assert predictor.runtimes.in_words() == f"native ({why})"
    assert isinstance(predictor.runtime, ScikitLearn)


def nearly(estimator: Any, *, probabilities: bool) -> compiled.Compiled:
    """A compiler with a kernel that is wrong in the last bit."""
    exact = compile_estimator(estimator, probabilities=probabilities)

    def kernel(rows: Array) -> Array:
        answer = exact.kernels["walk"](rows)
        assert answer is not None
        return np.nextafter(answer, 2.0)

    return compiled.Compiled({"walk": kernel})


def test_what_is_not_bit_equal_runs_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scikit_learn, "compile_estimator", nearly)
    predictor = load(iris_like(tmp_path))
    assert predictor.runtimes.in_words().startswith("native (walk differs by up to ")
    native, other = predictor.runtimes.measured
    assert (other.bit_equal, other.serves, other.rows_per_s) == (False, (), {})
    assert set(native.serves) == set(predictor.rates)


def test_a_compiler_that_fails_costs_nothing_but_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(estimator: Any, *, probabilities: bool) -> compiled.Compiled:
        raise AttributeError("tree_")

    monkeypatch.setattr(scikit_learn, "compile_estimator", broken)
    predictor = load(iris_like(tmp_path))
    assert predictor.runtimes.in_words() == "native (not compiled: AttributeError: tree_)"
    assert array_of(predictor, dict.fromkeys(FEATURES, np.zeros(2))).shape == (2, 3)


def test_a_row_that_the_native_model_refuses_is_refused_with_its_words(tmp_path: Path) -> None:
    predictor = load(iris_like(tmp_path))
    with pytest.raises(PredictionFailedError, match="contains infinity"):
        predictor.predict(dict.fromkeys(FEATURES, np.array([np.inf])))


def test_a_model_of_anything_but_numbers_is_not_compiled(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": ROWS[:, 0], "b": ROWS[:, 1], "c": ROWS[:, 2] > 0})
    forest = RandomForestRegressor(**SMALL).fit(frame, VALUES)
    kinds = {"a": ("float", 1.0), "b": ("float", 1.0), "c": ("bool", True)}
    declared = [{"name": n, "type": kind, "example": shown} for n, (kind, shown) in kinds.items()]
    predictor = load(version_of(declaration(inputs=declared), forest, tmp_path))
    assert predictor.runtimes.in_words() == "native ('c' is bool: only numeric models are compiled)"
