"""Predictors: artifacts refused before they serve, and the check of every answer."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from structlog.testing import capture_logs

from shared.columns import Array, Columns, row_count
from shared.errors import ArtifactError, PredictionFailedError
from shared.repository import ModelVersion
from shared.specs import ModelSpec
from tests.support.artifacts import Opened, array_of, load, version_of, with_manifest
from tests.support.specimens import classifier, declaration
from worker.predictors import Predictor, batch_sizes, library_versions
from worker.predictors.outputs import as_columns


def test_an_artifact_of_another_digest_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    trace = tmp_path / "opened"
    version = version_of(declaration(), Opened(trace), tmp_path)
    with pytest.raises(ArtifactError, match="is not opened"):
        load(with_manifest(version, sha256="0" * 64))
    assert not trace.exists()
    with pytest.raises(ArtifactError):  # the right digest: it is opened, and is no estimator
        load(version)
    assert trace.exists()


def test_a_model_for_another_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"specimen@1\.0\.0: is for gpu, and this worker has cpu"):
        load(version_of(declaration(device="gpu"), None, tmp_path))


def line(slope: float = 2.0) -> LinearRegression:
    return LinearRegression().fit([[0.0], [1.0]], [0.0, slope])


def built_by_another(tmp_path: Path) -> ModelVersion:
    version = version_of(declaration(), line(), tmp_path)
    other = version.manifest.frameworks | {"scikit-learn": "0.1"}
    return with_manifest(version, frameworks=other)


def test_another_framework_version_is_refused_where_the_setting_says_so(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"built with scikit-learn 0\.1 \(here "):
        load(built_by_another(tmp_path), mismatch="refuse")


def test_another_framework_version_is_warned_of_and_served(tmp_path: Path) -> None:
    with capture_logs() as events:
        predictor = load(built_by_another(tmp_path), mismatch="warn")
    assert [(e["event"], e["model"]) for e in events] == [("framework_mismatch", "specimen@1.0.0")]
    assert array_of(predictor, {"x": np.array([3.0])}).tolist() == pytest.approx([6.0])


def test_a_local_build_label_is_no_other_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_versions, "version", lambda _: "2.13.0+cpu")
    assert library_versions.mismatch({"torch": "2.13.0+cu130"}, "pytorch", "model.pt") is None
    assert library_versions.mismatch({"torch": "2.12.0+cpu"}, "pytorch", "model.pt") is not None


def test_an_unknown_version_is_no_difference() -> None:
    assert library_versions.mismatch({}, "scikit-learn", "model.joblib") is None


def test_a_pickle_of_another_python_is_a_difference_and_another_patch_release_is_not() -> None:
    built_with = library_versions.installed("scikit-learn")
    other = built_with | {"python": "3.8.10"}
    assert "python 3.8.10 (here " in str(library_versions.mismatch(other, "scikit-learn", "model.joblib"))
    same = built_with | {"python": ".".join(platform.python_version_tuple()[:2]) + ".99"}
    assert library_versions.mismatch(same, "scikit-learn", "model.joblib") is None


def test_a_wrong_golden_answer_names_row_output_expected_and_got(tmp_path: Path) -> None:
    golden = [{"inputs": {"x": x}, "outputs": {"y": 2 * x}} for x in (1.0, 2.0)]
    version = version_of(declaration(golden=golden), line(slope=3.0), tmp_path)
    with pytest.raises(ArtifactError, match=r"golden row 0: y: expected 2\.0, got 3\.0"):
        load(version)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (declaration(classes=["a", "b"], outputs=[{"name": "p", "view": "label"}]), "no class probabilities"),
        (declaration(outputs=[{"name": "t", "view": "tensor", "shape": [2]}]), r"answered shape \(1,\)"),
    ],
)
def test_an_estimator_that_cannot_answer_the_spec_is_refused(
    tmp_path: Path, spec: ModelSpec, why: str
) -> None:
    with pytest.raises(ArtifactError, match=why):
        load(version_of(spec, line(), tmp_path))


def forest(labels: list[Any], **options: Any) -> RandomForestClassifier:
    features = [[float(n)] for n in range(len(labels))]
    return RandomForestClassifier(n_estimators=3, random_state=1, **options).fit(features, labels)


def test_classes_that_were_fitted_by_name_must_be_those_of_the_spec(tmp_path: Path) -> None:
    version = version_of(classifier(), forest(["low", "middle", "high"] * 4), tmp_path)
    with pytest.raises(
        ArtifactError, match="classes are high, low, middle; the spec's are low, middle, high"
    ):
        load(version)


def test_numbered_classes_take_the_names_of_the_spec(tmp_path: Path) -> None:
    predictor = load(version_of(classifier(), forest([0, 1, 2] * 4), tmp_path))
    answer = predictor.predict({"x": np.array([0.0])})
    assert as_columns(predictor.spec, answer)[0] == ["low"]


def test_no_estimator_keeps_threads_of_its_own_however_deep_it_lies(tmp_path: Path) -> None:
    search = GridSearchCV(
        RandomForestClassifier(n_estimators=2, random_state=1, n_jobs=2), {"max_depth": [1, 2]}, cv=2
    ).fit([[float(n)] for n in range(12)], [0, 1, 2] * 4)
    predictor = load(version_of(classifier(), search, tmp_path))
    held: Any = predictor.runtime._call  # type: ignore[attr-defined]  # the estimator that was loaded
    assert held.__self__.best_estimator_.n_jobs == 1


def answering(spec: ModelSpec, runtime: Callable[[Columns], Any], folder: Path) -> Predictor:
    """A predictor over a model that is only a function."""
    return Predictor(version_of(spec, None, folder), runtime)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (np.zeros((1, 3)), r"answered shape \(1, 3\), expected \(2, 3\)"),
        (np.zeros((2, 2)), r"answered shape \(2, 2\), expected \(2, 3\)"),
        (np.zeros(2), r"answered shape \(2,\), expected \(2, 3\)"),
        (np.full((2, 3), np.nan), "answered NaN or infinity"),
        (np.array([["a", "b", "c"]] * 2), "could not convert string to float"),
    ],
)
def test_an_answer_of_the_wrong_kind_fails_with_the_models_key(
    tmp_path: Path, answer: Array, why: str
) -> None:
    predictor = answering(classifier(), lambda _: answer, tmp_path)
    with pytest.raises(PredictionFailedError, match=f"specimen@1.0.0: .*{why}"):
        predictor.predict({"x": np.zeros(2)})


def test_what_a_model_raises_is_a_failed_prediction(tmp_path: Path) -> None:
    def refuse(_: Columns) -> Array:
        raise ValueError("unknown machine\nand a long story")

    predictor = answering(declaration(), refuse, tmp_path)
    with pytest.raises(PredictionFailedError) as caught:
        predictor.predict({"x": np.zeros(2)})
    assert caught.value.detail == "specimen@1.0.0: ValueError: unknown machine"


def test_slices_are_warmed_up_to_the_largest_or_to_one_that_takes_long(tmp_path: Path) -> None:
    spec = declaration(batching={"max_rows": 10, "max_slice_rows": 500})
    predictor = answering(spec, lambda columns: np.zeros(row_count(columns)), tmp_path)
    assert list(predictor.warm_up_slices(60.0)) == [40, 160, 500]
    assert list(predictor.warm_up_slices(1e-9)) == [40]


def test_a_model_is_warmed_at_each_batch_size_class(tmp_path: Path) -> None:
    sizes: list[int] = []

    def answer(columns: Columns) -> Array:
        sizes.append(row_count(columns))
        return columns["x"]

    rates = answering(declaration(), answer, tmp_path).warm_up(batch_sizes(100))
    assert list(rates) == [1, 2, 4, 8, 16, 32, 64, 100]
    assert sorted(set(sizes)) == list(rates)
    assert all(rate > 0 for rate in rates.values())


def test_only_the_framework_of_a_loaded_model_is_imported() -> None:
    program = (
        "import sys, worker.predictors; print({'torch', 'sklearn', 'pandas', 'joblib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([[7063.85, 46.2, 0.0]], r"answered 7063\.85, 46\.2, 0 as class probabilities"),
        ([[1.2, -0.2, 0.0]], r"-0\.2.* must lie within \[0, 1\]"),
        ([[0.2, 0.2, 0.2]], r"must sum to 1 \(they sum to 0\.6\)"),
        ([[0.2, 0.2, np.nan]], "answered NaN or infinity"),
    ],
)
def test_numbers_that_are_no_probabilities_fail_the_call(tmp_path: Path, answer: Any, why: str) -> None:
    predictor = answering(classifier(), lambda _: np.array(answer), tmp_path)
    with pytest.raises(PredictionFailedError, match=why):
        predictor.predict({"x": np.zeros(1)})


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_probabilities_are_judged_by_the_type_that_they_were_computed_in(tmp_path: Path, dtype: Any) -> None:
    answer = np.random.default_rng(1).dirichlet(np.ones(3), 50).astype(dtype)
    predictor = answering(classifier(), lambda _: answer, tmp_path)
    assert array_of(predictor, {"x": np.zeros(50)}).shape == (50, 3)


class Corrupt(RandomForestClassifier):  # type: ignore[misc]  # sklearn has no types
    """It answers golden and example rows correctly, other rows with counts, as after a change of format."""

    def predict_proba(self, rows: Any) -> Any:
        given = np.asarray(super().predict_proba(rows))
        return np.where(np.asarray(rows) == 1.0, given, given * 7000)


def test_a_model_that_answers_no_probabilities_on_probe_rows_is_refused(tmp_path: Path) -> None:
    features = [[float(n)] for n in range(12)]
    model = Corrupt(n_estimators=3, random_state=1).fit(features, [0, 1, 2] * 4)
    with pytest.raises(ArtifactError, match=r"probe rows: answered .* as class probabilities"):
        load(version_of(classifier(), model, tmp_path))


class Column(LinearRegression):  # type: ignore[misc]  # sklearn has no types
    """It returns a value per row as a column, as an estimator does that was fitted on a column."""


def test_one_value_a_row_may_come_as_a_column(tmp_path: Path) -> None:
    model = Column().fit([[0.0], [1.0]], [[0.0], [2.0]])
    predictor = load(version_of(declaration(), model, tmp_path))
    assert array_of(predictor, {"x": np.array([1.0, 3.0])}).tolist() == pytest.approx([2.0, 6.0])
