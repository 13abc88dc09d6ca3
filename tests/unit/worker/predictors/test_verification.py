"""A version that another process has verified is opened without a call, with the same answers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression

from shared.columns import of_rows
from shared.repository import ModelVersion
from tests.support.artifacts import array_of, version_of
from tests.support.specimens import classifier, declaration
from worker.control.control_messages import VersionReport
from worker.predictors import Predictor
from worker.predictors.verification import open_verified, verify_version


class Importing(LinearRegression):  # type: ignore[misc]  # scikit-learn has no types
    """An estimator whose first call imports a module."""

    def predict(self, rows: Any) -> Any:
        import wave  # noqa: F401 - of no use to anyone else here

        return super().predict(rows)


def verified(version: ModelVersion) -> VersionReport:
    return verify_version(version, device="cpu", threads=1, mismatch="refuse", runtime="auto")


def opened(version: ModelVersion, report: VersionReport) -> Predictor:
    return open_verified(version, report, threads=1, mismatch="refuse")


def forest(folder: Path, runtime: str = "auto") -> ModelVersion:
    rng = np.random.default_rng(1)
    rows = rng.random((300, 1))
    labels = np.array(["low", "middle", "high"])[np.digitize(rows[:, 0], [0.3, 0.6])]
    fitted = RandomForestClassifier(5, random_state=1).fit(rows, labels)
    names = tuple(fitted.classes_)
    return version_of(classifier(classes=list(names), runtime=runtime), fitted, folder)


def test_rates_and_runtimes_are_those_of_the_verifier(tmp_path: Path) -> None:
    version = forest(tmp_path)
    report = verified(version)
    predictor = opened(version, report)
    assert predictor.rates == report.rates
    assert predictor.runtimes == report.runtimes
    assert predictor.load_s == report.load_s
    columns = of_rows(version.spec, [{"x": value} for value in (0.1, 0.45, 0.9)])
    fitted = predictor.predict(columns)
    assert np.asarray(fitted).argmax(axis=1).tolist() == [1, 2, 0]


def test_opening_calls_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = version_of(declaration(), LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]), tmp_path)
    report = verified(version)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a row was predicted")

    monkeypatch.setattr(LinearRegression, "predict", refuse)
    assert opened(version, report).rows_per_s > 0


def test_a_compiled_runtime_is_opened_only_if_the_verifier_chose_it(tmp_path: Path) -> None:
    version = version_of(
        declaration(runtime="native"), LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]), tmp_path
    )
    predictor = opened(version, verified(version))
    assert predictor.runtimes.in_words() == "native (set by model.toml)"
    assert array_of(predictor, of_rows(version.spec, [{"x": 3.0}])).tolist() == pytest.approx([6.0])


def test_what_calls_have_decided_is_taken_over(tmp_path: Path) -> None:
    version = forest(tmp_path, runtime="native")
    report = verified(version)
    assert report.settled["label_rule"] == "argmax"
    changed = VersionReport(
        rates=report.rates,
        runtimes=report.runtimes,
        settled=report.settled | {"label_rule": "predict"},
        load_s=1.0,
        memory_bytes=0,
        peak_bytes=0,
    )
    answer = array_of(opened(version, changed), of_rows(version.spec, [{"x": 0.1}]))
    assert answer.dtype.names is not None  # labels beside the probabilities


def test_modules_that_calls_imported_are_imported_once_for_all_forks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = version_of(declaration(), Importing().fit([[0.0], [1.0]], [0.0, 2.0]), tmp_path)
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    report = verified(version)
    assert "wave" in report.modules
    monkeypatch.delitem(sys.modules, "wave")
    opened(version, report)
    assert "wave" in sys.modules


def test_memory_is_that_of_the_opened_model(tmp_path: Path) -> None:
    fitted = LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0])
    fitted.ballast_ = np.ones(8 * 2**20)  # 64 MiB
    report = verified(version_of(declaration(), fitted, tmp_path))
    assert 60 * 2**20 < report.memory_bytes < 160 * 2**20
