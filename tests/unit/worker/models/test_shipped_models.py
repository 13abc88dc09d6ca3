"""The shipped models, built from their seeds, give the same answers as their frameworks, on both lanes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch

from shared.arrow_tables import batch_of_rows, columns_of_batch
from shared.columns import cut, encode_rows, join, of_rows, take
from shared.repository import ModelVersion, open_repository
from shared.specs import Row
from tests.support.artifacts import array_of, load
from worker.models.build import build_model
from worker.models.verify import verify_model
from worker.predictors.model_code import import_beside
from worker.predictors.outputs import as_batch, as_columns

SHIPPED = Path(__file__).parents[4] / "models"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModelVersion]:
    """The models of this repository, built in a temporary folder."""
    root = tmp_path_factory.mktemp("models")
    shutil.copytree(SHIPPED, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("[0-9]*", "__pycache__"))
    repository = open_repository(root)
    return lambda name: build_model(repository, name)


@pytest.mark.parametrize("size", [1, 3, 64, 150])
def test_iris_answers_what_the_forest_answers_at_every_batch_size(
    shipped: Callable[[str], ModelVersion], size: int
) -> None:
    version = shipped("iris")
    predictor, flowers = load(version), np.random.default_rng(7).uniform(0, 10, (150, 4))
    columns = dict(zip(version.spec.input_names, flowers.T, strict=True))
    batches = [array_of(predictor, take(columns, at, at + size)) for at in range(0, 150, size)]
    forest = joblib.load(version.artifact).set_params(n_jobs=1)
    assert np.array_equal(np.concatenate(batches), forest.predict_proba(flowers))


def test_the_classifier_answers_as_the_guide_computes_it(shipped: Callable[[str], ModelVersion]) -> None:
    version = shipped("classifier")
    predictor = load(version)
    rows = np.random.default_rng(7).normal(size=(20, 10)).astype(np.float32)
    network = import_beside(version.folder.parent, "network").SimpleClassifier(10, 64, 3)
    network.load_state_dict(torch.load(version.artifact))
    network.eval()
    with torch.no_grad():
        expected = [torch.softmax(network(torch.from_numpy(row[None])), dim=1)[0].tolist() for row in rows]
    answer = as_columns(version.spec, predictor.predict({"features": rows}))
    assert answer[0] == [int(np.argmax(row)) for row in expected]
    assert np.allclose(np.array(answer[1]), np.array(expected), rtol=0, atol=1e-4)


@pytest.mark.parametrize("model", ["iris", "classifier", "quality"])
def test_both_lanes_give_the_same_answers(shipped: Callable[[str], ModelVersion], model: str) -> None:
    version = shipped(model)
    spec, predictor = version.spec, load(version)
    rows: list[Row] = [spec.example_row(), *spec.golden_inputs()] * 5
    wire = encode_rows(spec, rows)
    online = as_columns(spec, predictor.predict(join(spec, [cut(spec, wire, 0, 7), cut(spec, wire, 7, 20)])))
    offline = as_batch(spec, predictor.predict(columns_of_batch(spec, batch_of_rows(spec, rows))))
    assert [offline.column(o.name).to_pylist() for o in spec.outputs] == online


@pytest.mark.parametrize("model", ["iris", "classifier", "quality"])
def test_a_shipped_model_verifies(shipped: Callable[[str], ModelVersion], model: str) -> None:
    report = verify_model(open_repository(shipped(model).folder.parents[1]), model)
    assert report.problem is None
    assert report.golden_rows >= 3
    assert report.rows_per_s > 0


def test_quality_answers_a_row_alike_among_any_neighbours(shipped: Callable[[str], ModelVersion]) -> None:
    version = shipped("quality")
    predictor, rows = load(version), version.spec.golden_inputs()
    together = array_of(predictor, of_rows(version.spec, rows))
    alone = [array_of(predictor, of_rows(version.spec, [row])) for row in rows]
    assert np.array_equal(np.concatenate(alone), together)
