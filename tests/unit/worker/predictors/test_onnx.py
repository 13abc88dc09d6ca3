"""ONNX Runtime runs a model only if its spec declares a tolerance, and only within that tolerance."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler

from shared.errors import PredictionFailedError
from tests.support.artifacts import load, version_of
from tests.support.specimens import classifier, declaration
from worker.predictors import Predictor

FEATURES = ["a", "b", "c"]
rng = np.random.default_rng(5)
ROWS = rng.normal(size=(240, 3))
VALUES = ROWS[:, 0] * 3 + ROWS[:, 1] ** 2
CLASSES = np.digitize(VALUES, [0.0, 3.0])
NETWORK: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_iter": 5000, "tol": 0.01, "random_state": 1}


def loaded(estimator: Any, folder: Path, **changes: Any) -> Predictor:
    classifies = hasattr(estimator, "predict_proba")
    inputs = [{"name": name, "type": "float", "example": 0.5} for name in FEATURES]
    batching = {"max_rows": 8, "max_slice_rows": 256}  # less to measure
    wish: dict[str, Any] = {"runtime": "onnx", "tolerance": 1e-5} | changes
    make = classifier if classifies else declaration
    fitted = estimator.fit(ROWS, CLASSES if classifies else VALUES)
    return load(version_of(make(inputs=inputs, batching=batching, **wish), fitted, folder))


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(MinMaxScaler(), MLPClassifier(**NETWORK)),
        make_pipeline(MinMaxScaler(), MLPRegressor(**NETWORK)),
    ],
    ids=["classes", "values"],
)
def test_a_network_runs_by_onnx_within_the_tolerance(estimator: Any, tmp_path: Path) -> None:
    predictor = loaded(estimator, tmp_path)
    _, onnx = predictor.runtimes.measured
    assert (onnx.name, onnx.bit_equal, onnx.tolerance) == ("onnx", False, 1e-5)
    assert 0 < onnx.max_difference <= 1e-5
    assert onnx.compared_rows > 1000
    assert 1 in onnx.serves
    columns = {name: ROWS[:, number] for number, name in enumerate(FEATURES)}
    answer = estimator.predict_proba if hasattr(estimator, "predict_proba") else estimator.predict
    assert predictor.predict(columns) == pytest.approx(answer(ROWS), abs=2e-5)


def test_what_is_further_off_than_the_tolerance_runs_nothing_and_says_so(tmp_path: Path) -> None:
    predictor = loaded(make_pipeline(MinMaxScaler(), MLPRegressor(**NETWORK)), tmp_path, tolerance=1e-12)
    assert predictor.runtimes.in_words().startswith("native (onnx differs by up to ")
    assert predictor.runtimes.measured[1].serves == ()


def test_trees_beside_their_thresholds_are_too_far_off_and_run_compiled(tmp_path: Path) -> None:
    predictor = loaded(RandomForestClassifier(n_estimators=10, max_depth=3, random_state=1), tmp_path)
    served = {one.name for one in predictor.runtimes.measured if one.serves}
    assert served <= {"walk", "quickscorer"}
    assert "onnx" in {one.name for one in predictor.runtimes.measured}


def test_what_the_converter_does_not_know_stays_native_and_says_so(tmp_path: Path) -> None:
    predictor = loaded(make_pipeline(FunctionTransformer(np.tanh), Ridge()), tmp_path)
    assert predictor.runtimes.in_words().startswith("native (onnx: not converted: ")


def test_without_the_library_the_model_stays_native_and_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    predictor = loaded(make_pipeline(MinMaxScaler(), MLPRegressor(**NETWORK)), tmp_path)
    assert "see the extra `onnx`" in predictor.runtimes.in_words()


def test_a_row_that_the_native_model_refuses_is_refused_with_its_words(tmp_path: Path) -> None:
    predictor = loaded(make_pipeline(MinMaxScaler(), MLPRegressor(**NETWORK)), tmp_path)
    with pytest.raises(PredictionFailedError, match="contains infinity"):
        predictor.predict(dict.fromkeys(FEATURES, np.array([np.inf])))


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"runtime": "onnx"}, "tolerance: runtime = 'onnx' needs a tolerance"),
        ({"runtime": "auto", "tolerance": 1e-5}, "tolerance: runtime = 'onnx' needs a tolerance"),
        ({"runtime": "onnx", "tolerance": -1.0}, "greater than or equal to 0"),
    ],
)
def test_a_wish_without_a_tolerance_is_refused(wish: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        declaration(**wish)
