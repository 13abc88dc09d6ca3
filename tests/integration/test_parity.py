"""Takt's answers equal the model's own, on both lanes and in every batch."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pytest

from shared.repository import open_repository
from tests.support import samples
from tests.support.callers import batch_results, job_results, predict_all
from tests.support.parity import hold_against_model
from tests.support.samples import Drawn
from tests.support.stack import ROOT, Stack
from worker.predictors.comparison_rows import probes
from worker.predictors.compiled.trees import compile_trees

pytestmark = pytest.mark.integration

CLASSES = ["setosa", "versicolor", "virginica"]
FEATURES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


@cache
def flowers() -> list[list[float]]:
    drawn: list[list[float]] = np.round(np.random.default_rng(7).uniform(0.0, 8.0, (1000, 4)), 2).tolist()
    return drawn


@cache
def expected_flowers() -> list[dict[str, object]]:
    return says_the_forest(flowers())


def says_the_forest(rows: list[list[float]]) -> list[dict[str, object]]:
    """The answers of the artifact to every flower, in this process."""
    forest = joblib.load(ROOT / "models/iris/1.0.0/model.joblib")
    forest.n_jobs = 1
    probabilities = forest.predict_proba(np.array(rows))
    return [{"prediction": CLASSES[p.argmax()], "confidence": float(p.max())} for p in probabilities]


async def test_iris_answers_are_the_forests_in_every_batch_composition(models: Path, stack: Stack) -> None:
    bodies: list[dict[str, object]] = [dict(zip(FEATURES, row, strict=True)) for row in flowers()[:300]]
    for connections in (1, 7, 64):
        some = bodies[: 20 if connections == 1 else 300]
        answers = await predict_all(stack.url, some, connections=connections)
        assert [a.json() for a in answers] == [
            expected | {"model_version": "1.0.0"} for expected in expected_flowers()[: len(some)]
        ]


@pytest.mark.parametrize("rows", [1, 2, 63, 64, 65, 1000])
def test_iris_batches_of_every_size_are_the_forests(models: Path, http: httpx.Client, rows: int) -> None:
    assert batch_results(http, "iris", flowers()[:rows]) == expected_flowers()[:rows]


@pytest.mark.parametrize("rows", [1, 64, 900])
def test_the_compiled_forest_is_in_use_and_decides_at_every_threshold_as_the_native_forest(
    models: Path, http: httpx.Client, rows: int
) -> None:
    held = http.get("/models/iris").json()["workers"][0]
    compiled = [runtime for runtime in held["runtimes"] if runtime["name"] != "native"]
    assert all(runtime["bit_equal"] for runtime in compiled if runtime["serves"])
    assert {1, 64} <= set().union(*(runtime["serves"] for runtime in compiled))
    beside = beside_thresholds()[: 5 * rows]
    found = [
        r for at in range(0, len(beside), rows) for r in batch_results(http, "iris", beside[at : at + rows])
    ]
    assert found == says_the_forest(beside)


def beside_thresholds() -> list[list[float]]:
    """Flowers on the forest's thresholds, and right beside them."""
    forest = joblib.load(ROOT / "models/iris/1.0.0/model.joblib")
    columns = probes(
        open_repository(ROOT / "models").specs["iris"], FEATURES, compile_trees(forest).thresholds
    )
    flowers: list[list[float]] = np.stack([columns[name] for name in FEATURES], axis=1)[20:].tolist()
    return flowers


def test_an_iris_job_is_the_forests(models: Path, http: httpx.Client) -> None:
    assert job_results(http, "iris", flowers()) == expected_flowers()


@pytest.mark.parametrize(("model", "drawn"), [("iris", samples.flowers), ("quality", samples.parts)])
def test_a_csv_of_20_000_rows_is_its_models_in_every_format_and_in_order(
    models: Path, http: httpx.Client, tmp_path: Path, model: str, drawn: Drawn
) -> None:
    hold_against_model(http, models, model, drawn(20_000), tmp_path, limit_s=30)


def test_the_classifier_is_the_networks_to_four_decimals_on_both_lanes(
    models: Path, http: httpx.Client
) -> None:
    import torch

    rows = np.random.default_rng(3).normal(size=(200, 10)).round(3)
    expected = np.round(_network(models)(torch.tensor(rows, dtype=torch.float32)), 4).tolist()
    online = batch_results(http, "classifier", rows.tolist())
    offline = job_results(http, "classifier", rows.tolist())
    for answers in (online, offline):
        assert np.abs(np.array([a["probabilities"] for a in answers]) - expected).max() <= 1.01e-4
        assert [a["predicted_class"] for a in answers] == [int(np.argmax(p)) for p in expected]


def test_quality_is_its_pipelines_on_both_lanes_with_missing_values(models: Path, http: httpx.Client) -> None:
    import joblib
    import pandas as pd

    spec = open_repository(models).spec("quality")
    given = spec.golden[0].inputs
    missing = [_plain(given) | {field.name: None} for field in spec.inputs if field.nullable]
    rows = [*missing, _plain(given)]
    frame = pd.DataFrame([dict(given) | {k: None for k, v in row.items() if v is None} for row in rows])
    for field in spec.inputs:
        if field.type == "datetime":
            frame[field.name] = pd.to_datetime(frame[field.name]).dt.tz_localize(None)
        elif field.type in ("float", "int64"):
            frame[field.name] = pd.to_numeric(frame[field.name])
    pipeline = joblib.load(models / "quality/1.0.0/model.joblib")
    probabilities = pipeline.predict_proba(frame[spec.input_names])
    expected = [spec.classes[int(p.argmax())] for p in probabilities]
    label = next(output.name for output in spec.outputs if output.view == "label")
    online, offline = batch_results(http, "quality", rows), job_results(http, "quality", rows)
    assert online == offline
    assert [answer[label] for answer in online] == expected


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}


def _network(models: Path) -> Any:
    """The guide's way to answer: load the state_dict, softmax the logits."""
    import importlib.util

    import torch

    found = importlib.util.spec_from_file_location("network", models / "classifier/network.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    folder = models / "classifier/1.0.0"
    artifact = next(path for path in folder.iterdir() if path.suffix == ".pt")
    network = module.SimpleClassifier(input_dim=10, hidden_dim=64, output_dim=3)
    network.load_state_dict(torch.load(artifact, weights_only=True))
    network.eval()

    def answer(rows: torch.Tensor) -> Any:
        with torch.inference_mode():
            return torch.softmax(network(rows), dim=1).numpy().astype(np.float64)

    return answer
