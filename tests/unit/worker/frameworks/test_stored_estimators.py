"""Stored estimators: skops, pickles that need modules beside them, and files that are no estimators."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from shared.errors import ArtifactError
from tests.support.artifacts import load, shown, version_from_file
from tests.support.frameworks import needs
from tests.support.specimens import declaration

ROWS, ANSWERS = load_iris(return_X_y=True)
COLUMNS = {f"x{n}": np.ascontiguousarray(ROWS[:, n]) for n in range(4)}
INPUTS = [{"name": name, "type": "float", "example": 1.0} for name in COLUMNS]
PREPROCESS = """
from sklearn.base import BaseEstimator, TransformerMixin

class MyTransformer(TransformerMixin, BaseEstimator):
    def fit(self, rows, answers=None):
        return self

    def transform(self, rows):
        return rows * 2
"""


def spec_of(**changes: Any) -> Any:
    outputs = [{"name": "p", "view": "probabilities"}]
    return declaration(**({"inputs": INPUTS, "classes": ["a", "b", "c"], "outputs": outputs} | changes))


def fitted(first: Any) -> Any:
    return make_pipeline(first, LogisticRegression(max_iter=500)).fit(ROWS, ANSWERS)


@pytest.fixture
def with_transformer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A pipeline whose first step is of preprocess.py, as a script beside that file makes it."""
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "preprocess.py").write_text(PREPROCESS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "training")
    yield fitted(importlib.import_module("preprocess").MyTransformer())
    sys.modules.pop("preprocess", None)


def forgotten(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The training script has ended."""
    sys.modules.pop("preprocess", None)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(folder / "training")])


def test_a_pickled_transformer_opens_from_the_file_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_transformer: Any
) -> None:
    joblib.dump(with_transformer, tmp_path / "m.joblib")
    expected = with_transformer.predict_proba(ROWS).tolist()
    forgotten(monkeypatch, tmp_path)
    beside = {"preprocess.py": PREPROCESS}
    predictor = load(version_from_file(spec_of(), tmp_path / "m.joblib", tmp_path / "r", beside))
    assert shown(predictor, COLUMNS)["p"] == expected
    assert "preprocess" not in sys.modules


@pytest.mark.parametrize(
    ("beside", "why"),
    [
        (
            {},
            "needs the module 'preprocess': put preprocess.py beside model.toml and build again, or install",
        ),
        (
            {"preprocess.py": "X = 1\n"},
            "refers to 'MyTransformer' of the module 'preprocess', which has none: use the",
        ),
    ],
)
def test_missing_code_of_a_pickle_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    with_transformer: Any,
    beside: dict[str, str],
    why: str,
) -> None:
    joblib.dump(with_transformer, tmp_path / "m.joblib")
    forgotten(monkeypatch, tmp_path)
    with pytest.raises(ArtifactError, match=why):
        load(version_from_file(spec_of(), tmp_path / "m.joblib", tmp_path / "r", beside))


def test_a_class_of_the_training_script_is_named(tmp_path: Path, with_transformer: Any) -> None:
    joblib.dump(with_transformer, tmp_path / "m.joblib")
    data = (tmp_path / "m.joblib").read_bytes()
    (tmp_path / "m.joblib").write_bytes(data.replace(b"\x8c\x0apreprocess", b"\x8c\x08__main__"))
    with pytest.raises(
        ArtifactError, match="'MyTransformer' of the training script itself: move MyTransformer"
    ):
        load(version_from_file(spec_of(), tmp_path / "m.joblib", tmp_path / "r"))


@needs("skops")
def test_skops_files_are_served_and_record_their_versions(tmp_path: Path) -> None:
    import skops.io

    model = fitted(FunctionTransformer())
    skops.io.dump(model, tmp_path / "m.skops")
    version = version_from_file(spec_of(), tmp_path / "m.skops", tmp_path / "r")
    assert version.manifest.frameworks == {"scikit-learn": sklearn.__version__}
    assert shown(load(version), COLUMNS)["p"] == model.predict_proba(ROWS).tolist()


@needs("skops")
def test_types_that_skops_does_not_trust_are_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_transformer: Any
) -> None:
    import skops.io

    skops.io.dump(with_transformer, tmp_path / "m.skops")
    expected = with_transformer.predict_proba(ROWS).tolist()
    forgotten(monkeypatch, tmp_path)
    beside = {"preprocess.py": PREPROCESS}
    with pytest.raises(
        ArtifactError, match=r"does not trust: 'preprocess\.MyTransformer'; check them, and list"
    ):
        load(version_from_file(spec_of(), tmp_path / "m.skops", tmp_path / "a", beside))
    trusting = spec_of(**{"scikit-learn": {"trusted": ["preprocess.MyTransformer"]}})
    predictor = load(version_from_file(trusting, tmp_path / "m.skops", tmp_path / "b", beside))
    assert shown(predictor, COLUMNS)["p"] == expected


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("m.joblib", b"PK\x03\x04....", "is a zip archive that is cut off"),
        ("m.pkl", b'{"learner": 1}', "is a model of XGBoost as JSON: it is for framework = 'xgboost'"),
        ("m.pkl", b"", "is empty: copy the file itself again"),
        ("m.pkl", b"\x80\x04\x95", r"is no complete pickle: copy it again, or save .*joblib\.dump"),
        ("m.skops", b"PK\x03\x04....", "is a zip archive that is cut off"),
        ("m.skops", b"words", r"is no file of skops: save it with skops\.io\.dump"),
        (
            "m.json",
            b"{}",
            r"is an artifact of xgboost, and model\.toml has framework = ",
        ),
    ],
)
def test_a_file_of_something_else_says_what_to_do(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=why):
        load(version_from_file(spec_of(), tmp_path / name, tmp_path / "r"))


def test_a_pickle_that_was_cut_off_says_what_to_do(tmp_path: Path) -> None:
    joblib.dump(fitted(FunctionTransformer()), tmp_path / "m.joblib")
    data = (tmp_path / "m.joblib").read_bytes()
    (tmp_path / "m.joblib").write_bytes(data[: len(data) // 2])
    with pytest.raises(ArtifactError, match=r"is no complete pickle: copy it again, or save"):
        load(version_from_file(spec_of(), tmp_path / "m.joblib", tmp_path / "r"))


def test_a_wrong_number_of_inputs_is_named(tmp_path: Path) -> None:
    joblib.dump(LogisticRegression(max_iter=500).fit(ROWS, ANSWERS), tmp_path / "m.joblib")
    with pytest.raises(ArtifactError, match=r"was fitted on 4 features, and model\.toml declares 3"):
        load(version_from_file(spec_of(inputs=INPUTS[:3]), tmp_path / "m.joblib", tmp_path / "r"))


def test_a_missing_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from worker.predictors import implementation

    (tmp_path / "m.onnx").write_bytes(b"x")
    version = version_from_file(declaration(framework="onnx"), tmp_path / "m.onnx", tmp_path / "r")
    monkeypatch.setattr(implementation, "find_spec", lambda _: None)
    with pytest.raises(
        ArtifactError, match=r"onnxruntime is not installed .*: pip install 'takt-server\[onnx\]'"
    ):
        load(version)
