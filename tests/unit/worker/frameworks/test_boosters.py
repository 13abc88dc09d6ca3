"""XGBoost and LightGBM: native files and wrappers answer as in-process, compiled bit for bit."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from shared.columns import Array
from shared.errors import ArtifactError
from shared.specs import ModelSpec
from tests.support.artifacts import array_of, load, version_from_file
from tests.support.frameworks import needs
from tests.support.specimens import declaration
from worker.predictors import library_versions

DATA: dict[str, Callable[..., Any]] = {
    "iris": load_iris,
    "cancer": load_breast_cancer,
    "diabetes": load_diabetes,
}
XGBOOST = {"iris": "multi:softprob", "cancer": "binary:logistic", "diabetes": "reg:squarederror"}
LIGHTGBM = {"iris": "multiclass", "cancer": "binary", "diabetes": "regression"}
CLASSES = {"iris": 3, "cancer": 2, "diabetes": 0}


def data(name: str) -> tuple[Array, Array]:
    rows, answers = DATA[name](return_X_y=True)
    rows = rows.copy()
    rows[np.random.default_rng(3).random(rows.shape) < 0.02] = np.nan
    return rows, answers


def spec_of(framework: str, name: str, **changes: Any) -> ModelSpec:
    rows, _ = data(name)
    inputs = [
        {"name": f"field {n}", "type": "float", "nullable": True, "example": float(np.nanmean(rows[:, n]))}
        for n in range(rows.shape[1])
    ]
    classes = [f"class {n}" for n in range(CLASSES[name])]
    view = "probabilities" if classes else "value"
    outputs = [{"name": "answer", "view": view}]
    return declaration(
        **({"framework": framework, "inputs": inputs, "classes": classes, "outputs": outputs} | changes)
    )


def columns_of(rows: Array) -> dict[str, Array]:
    return {f"field {n}": np.ascontiguousarray(rows[:, n]) for n in range(rows.shape[1])}


def xgboost_model(name: str) -> Any:
    import xgboost

    rows, answers = data(name)
    options = {"objective": XGBOOST[name], "max_depth": 4, "nthread": 1}
    options |= {"num_class": CLASSES[name]} if CLASSES[name] > 2 else {}
    return xgboost.train(options, xgboost.DMatrix(rows, answers), num_boost_round=30)


def lightgbm_model(name: str) -> Any:
    import lightgbm

    rows, answers = data(name)
    options = {"objective": LIGHTGBM[name], "verbosity": -1, "num_threads": 1}
    options |= {"num_class": CLASSES[name]} if CLASSES[name] > 2 else {}
    return lightgbm.train(options, lightgbm.Dataset(rows, answers), num_boost_round=30)


def both_classes(answer: Array, name: str) -> Array:
    """As the libraries' own classifiers answer."""
    return np.stack([1 - answer, answer], axis=1) if CLASSES[name] == 2 else answer


def probe_rows(name: str) -> Array:
    rows, _ = data(name)
    rng = np.random.default_rng(5)
    return rows[rng.integers(0, len(rows), 600)] * rng.uniform(0.8, 1.2, (600, rows.shape[1]))


@needs("xgboost")
@pytest.mark.parametrize("suffix", ["json", "ubj"])
@pytest.mark.parametrize("name", DATA)
def test_xgboost_answers_bit_for_bit_and_is_compiled(tmp_path: Path, name: str, suffix: str) -> None:
    booster = xgboost_model(name)
    booster.save_model(tmp_path / f"model.{suffix}")
    version = version_from_file(spec_of("xgboost", name), tmp_path / f"model.{suffix}", tmp_path)
    rows = probe_rows(name)
    expected = both_classes(booster.inplace_predict(rows), name)
    for runtime in ("native", "auto"):
        predictor = load(version, runtime=runtime)
        assert np.array_equal(array_of(predictor, columns_of(rows)), expected.astype(np.float64))
    measured = {one.name: one for one in predictor.runtimes.measured}
    assert measured["walk"].bit_equal
    assert "walk" in predictor.runtimes.in_words() or "quickscorer" in predictor.runtimes.in_words()


@needs("lightgbm")
@pytest.mark.parametrize("name", DATA)
def test_lightgbm_answers_bit_for_bit_and_is_compiled(tmp_path: Path, name: str) -> None:
    booster = lightgbm_model(name)
    booster.save_model(tmp_path / "model.txt")
    version = version_from_file(spec_of("lightgbm", name), tmp_path / "model.txt", tmp_path)
    rows = probe_rows(name)
    expected = both_classes(booster.predict(rows), name)
    for runtime in ("native", "auto"):
        predictor = load(version, runtime=runtime)
        assert np.array_equal(array_of(predictor, columns_of(rows)), expected)
    assert {one.name: one for one in predictor.runtimes.measured}["walk"].bit_equal


@pytest.mark.parametrize("framework", ["xgboost", "lightgbm", "scikit-learn"])
@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_pickled_wrapper_is_served_with_its_labels_and_compiled(
    tmp_path: Path, library: str, framework: str
) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    if framework not in (library, "scikit-learn"):
        pytest.skip("a wrapper is of its library or of scikit-learn")
    import joblib

    rows, answers = data("iris")
    kind = {"xgboost": "XGBClassifier", "lightgbm": "LGBMClassifier"}[library]
    quiet = {"verbose": -1} if library == "lightgbm" else {}
    wrapper = getattr(importlib.import_module(library), kind)(n_estimators=10, **quiet).fit(rows, answers)
    joblib.dump(wrapper, tmp_path / "model.joblib")
    outputs = [{"name": "label", "view": "class_index"}, {"name": "p", "view": "probabilities"}]
    spec = spec_of(framework, "iris", outputs=outputs)
    version = version_from_file(spec, tmp_path / "model.joblib", tmp_path)
    assert library in version.manifest.frameworks, "the library that made the artifact is recorded"
    predictor = load(version)
    assert np.array_equal(
        array_of(predictor, columns_of(probe_rows("iris"))),
        wrapper.predict_proba(probe_rows("iris")).astype(float),
    )
    assert {one.name: one.bit_equal for one in predictor.runtimes.measured}["walk"]


@needs("xgboost")
def test_the_version_that_made_a_native_file_is_read_from_it(tmp_path: Path) -> None:
    booster = xgboost_model("iris")
    for suffix in ("json", "ubj"):
        booster.save_model(tmp_path / f"model.{suffix}")
        stated = library_versions.stated_by("xgboost", tmp_path / f"model.{suffix}")
        assert stated.versions == library_versions.installed("xgboost")


@needs("xgboost")
def test_a_model_of_a_newer_release_is_refused_where_the_setting_says_so(tmp_path: Path) -> None:
    xgboost_model("iris").save_model(tmp_path / "model.json")
    text = (tmp_path / "model.json").read_text(encoding="utf-8")
    start = text.rindex('"version"')
    (tmp_path / "model.json").write_text(text[:start] + '"version":[99,1,0]}', encoding="utf-8")
    version = version_from_file(spec_of("xgboost", "iris"), tmp_path / "model.json", tmp_path)
    with pytest.raises(ArtifactError, match=r"built with xgboost 99\.1\.0 \(here .*MISMATCH=refuse"):
        load(version)


@needs("lightgbm")
def test_the_format_of_a_text_model_is_recorded(tmp_path: Path) -> None:
    lightgbm_model("iris").save_model(tmp_path / "model.txt")
    assert library_versions.stated_by("lightgbm", tmp_path / "model.txt").formats == {"lightgbm text": "v4"}


@needs("xgboost")
def test_texts_are_categories(tmp_path: Path) -> None:
    import pandas as pd
    import xgboost

    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"machine": rng.choice(["A", "B", "C"], 300), "torque": rng.normal(size=300)})
    frame["machine"] = frame["machine"].astype("category")
    answers = frame["torque"] + frame["machine"].cat.codes * 10
    table = xgboost.DMatrix(frame, answers, enable_categorical=True)
    booster = xgboost.train({"max_cat_to_onehot": 1}, table, num_boost_round=20)
    booster.save_model(tmp_path / "model.json")
    inputs = [
        {"name": "torque", "type": "float", "example": 0.5},
        {"name": "machine", "type": "string", "example": "A"},
    ]
    version = version_from_file(
        declaration(framework="xgboost", inputs=inputs), tmp_path / "model.json", tmp_path
    )
    predictor = load(version)
    some = frame.head(20)
    columns = {"machine": some["machine"].astype(object).to_numpy(), "torque": some["torque"].to_numpy()}
    assert np.array_equal(array_of(predictor, columns), booster.predict(table)[:20].astype(np.float64))
    alone = {name: values[:1] for name, values in columns.items()}
    assert array_of(predictor, alone)[0] == booster.predict(table)[0], (
        "a code does not depend on the other rows"
    )


@needs("xgboost")
@pytest.mark.parametrize(
    ("objective", "spec", "why"),
    [
        ("reg:squarederror", {}, "answers no class probabilities: train with binary:logistic or multi"),
        ("multi:softmax", {}, "answers the class only: train with multi:softprob"),
        ("multi:softprob", {"classes": ["a", "b"]}, "answers 3 classes, and model.toml declares 2: a, b"),
    ],
)
def test_a_booster_that_does_not_fit_the_spec_says_what_to_do(
    tmp_path: Path, objective: str, spec: dict[str, Any], why: str
) -> None:
    import xgboost

    rows, answers = data("iris")
    options = {"objective": objective} | ({"num_class": 3} if objective.startswith("multi") else {})
    xgboost.train(options, xgboost.DMatrix(rows, answers), num_boost_round=2).save_model(
        tmp_path / "model.json"
    )
    version = version_from_file(spec_of("xgboost", "iris", **spec), tmp_path / "model.json", tmp_path)
    with pytest.raises(ArtifactError, match=why):
        load(version)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_wrong_number_of_inputs_is_named(tmp_path: Path, library: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    model = {"xgboost": xgboost_model, "lightgbm": lightgbm_model}[library]("diabetes")
    file = tmp_path / ("model.json" if library == "xgboost" else "model.txt")
    model.save_model(file)
    spec = declaration(framework=library)
    with pytest.raises(ArtifactError, match=r"trained with 10 features.*model\.toml declares 1: declare"):
        load(version_from_file(spec, file, tmp_path))


@pytest.mark.parametrize(
    ("framework", "name", "content", "why"),
    [
        (
            "xgboost",
            "model.json",
            b'{"learner":{}}',
            "is no complete model of XGBoost: copy it again, or save it with booster",
        ),
        ("xgboost", "model.ubj", b"\x00\x01", "is no file of xgboost: save the model with booster"),
        ("lightgbm", "model.txt", b"hello", "is no file of lightgbm: save the model with booster"),
        ("lightgbm", "model.txt", b"tree\nversion=v4\n\nTree=0\n", "is cut off before its last tree"),
    ],
)
def test_a_file_of_something_else_says_what_to_do(
    tmp_path: Path, framework: str, name: str, content: bytes, why: str
) -> None:
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    (tmp_path / name).write_bytes(content)
    version = version_from_file(declaration(framework=framework), tmp_path / name, tmp_path)
    with pytest.raises(ArtifactError, match=why):
        load(version)
