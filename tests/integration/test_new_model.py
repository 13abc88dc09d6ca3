"""From a trained file to predictions with two commands: `takt models new`, then `takt up`."""

from __future__ import annotations

import csv
import io
import json
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from takt import Takt
from tests.support import ai4i
from tests.support.ai4i import FEATURES, NUMBERS, TARGET
from tests.support.frameworks import needs
from tests.support.servers import free_port
from tests.support.terminals import Terminal

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
    needs("xgboost", "lightgbm", "onnxruntime", "skl2onnx", "mlflow"),
]

TABLE = ai4i.table(10_000)
NUMERIC = TABLE[NUMBERS]
PLAIN = NUMERIC.rename(columns=lambda name: re.sub(r"[\[\]]", "", name))
"""The features under names that boosters accept."""
TEXTS = ["베어링 온도 상승", "정상 가동 중", "모터 진동 이상", "정상 점검 완료"] * 5
ROWS = 20


@dataclass(frozen=True)
class Case:
    """A trained file: the rows that clients send, and an output with its expected values."""

    file: str
    options: str
    rows: pd.DataFrame
    output: str
    expected: list[Any]


def pipeline(folder: Path) -> Case:
    kind = ("kind", OneHotEncoder(), ["Type"])
    columns = ColumnTransformer([kind, ("numbers", StandardScaler(), NUMBERS)])
    model = make_pipeline(columns, RandomForestClassifier(20, random_state=1))
    model.fit(TABLE[FEATURES], TABLE[TARGET])
    joblib.dump(model, folder / "failure.joblib")
    expected = model.predict_proba(TABLE[FEATURES]).tolist()
    return Case("failure.joblib", "--sample ai4i.csv", TABLE[FEATURES], "probabilities", expected)


def xgboost_file(folder: Path) -> Case:
    import xgboost

    model = xgboost.XGBClassifier(n_estimators=20).fit(PLAIN, TABLE[TARGET])
    model.save_model(folder / "booster.json")
    expected = model.predict_proba(PLAIN).astype(float).tolist()
    return Case("booster.json", "--sample ai4i.csv", NUMERIC, "probabilities", expected)


def lightgbm_file(folder: Path) -> Case:
    import lightgbm

    booster = lightgbm.train({"verbosity": -1}, lightgbm.Dataset(PLAIN, TABLE["UDI"]), 20)
    booster.save_model(folder / "booster.txt")
    return Case("booster.txt", "--sample ai4i.csv", NUMERIC, "value", list(booster.predict(PLAIN)))


def onnx_file(folder: Path) -> Case:
    import skl2onnx

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(NUMERIC.to_numpy(), TABLE[TARGET])
    rows = NUMERIC.to_numpy().astype(np.float32)
    (folder / "classes.onnx").write_bytes(skl2onnx.to_onnx(model, rows[:1]).SerializeToString())
    names = ",".join(NUMBERS)
    options = f"--sample ai4i.csv --inputs '{names}'"
    return Case("classes.onnx", options, NUMERIC, "probabilities", model.predict_proba(rows).tolist())


def exported_program(folder: Path) -> Case:
    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)).eval()
    rows = torch.from_numpy(NUMERIC.to_numpy().astype(np.float32))
    sizes = ({0: torch.export.Dim("rows")},)
    torch.export.save(torch.export.export(network, (rows[:2],), dynamic_shapes=sizes), folder / "net.pt2")
    with torch.inference_mode():
        expected = network(rows).numpy().astype(float).tolist()
    names = ",".join(NUMBERS)
    return Case("net.pt2", f"--inputs '{names}'", NUMERIC, "values", expected)


def mlflow_folder(folder: Path) -> Case:
    import mlflow.sklearn

    model = RandomForestClassifier(5, random_state=1).fit(NUMERIC, TABLE[TARGET])
    signature = mlflow.models.infer_signature(NUMERIC, model.predict(NUMERIC))
    path, kind = str(folder / "logged"), "cloudpickle"
    mlflow.sklearn.save_model(
        model, path, signature=signature, pip_requirements=[], serialization_format=kind
    )
    return Case("logged", "", NUMERIC, "probabilities", model.predict_proba(NUMERIC).tolist())


def detector(folder: Path) -> Case:
    model = IsolationForest(n_estimators=20, random_state=1).fit(NUMERIC)
    joblib.dump(model, folder / "anomaly.joblib")
    expected = np.where(model.predict(NUMERIC) > 0, "normal", "outlier").tolist()
    return Case("anomaly.joblib", "--sample ai4i.csv", NUMERIC, "prediction", expected)


def text_pipeline(folder: Path) -> Case:
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, ["이상", "정상"] * 10)
    joblib.dump(model, folder / "messages.joblib")
    expected = model.predict(TEXTS).tolist()
    return Case("messages.joblib", "", pd.DataFrame({"text": TEXTS}), "prediction", expected)


MAKERS: dict[str, Callable[[Path], Case]] = {
    "pipeline": pipeline,
    "xgboost": xgboost_file,
    "lightgbm": lightgbm_file,
    "onnx": onnx_file,
    "program": exported_program,
    "mlflow": mlflow_folder,
    "detector": detector,
    "texts": text_pipeline,
}


SIDE = 224
STATES = ["ok", "scratch", "dent"]


def vision() -> torch.nn.Module:
    torch.manual_seed(4)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=4),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(4),
        torch.nn.Flatten(),
        torch.nn.Linear(128, len(STATES)),
    ).eval()


def write_vision(folder: Path) -> None:
    sizes = ({0: torch.export.Dim("rows")},)
    rows = torch.rand(2, 3, SIDE, SIDE)
    torch.export.save(torch.export.export(vision(), (rows,), dynamic_shapes=sizes), folder / "cnn.pt2")


def photo() -> bytes:
    pixels = np.random.default_rng(2).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


@dataclass(frozen=True)
class Served:
    takt: Takt
    terminal: Terminal
    cases: dict[str, Case]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Every model, each made by a command, and all served by `takt up`."""
    folder = tmp_path_factory.mktemp("factory")
    TABLE.to_csv(folder / "ai4i.csv", index=False)
    port = free_port()
    terminal = Terminal(folder, port)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that train
        cases = {name: make(folder) for name, make in MAKERS.items()}
    for name, case in cases.items():
        printed = terminal.types(f".venv/bin/takt models new {name} --from {case.file} {case.options}")
        assert printed.splitlines()[-1] == f"next: takt up --models {name}"
    write_vision(folder)
    terminal.types(f".venv/bin/takt models new cnn --from cnn.pt2 --classes {','.join(STATES)}")
    with terminal.serving(".venv/bin/takt up"), Takt(f"http://127.0.0.1:{port}") as takt:
        yield Served(takt, terminal, cases)


@pytest.mark.parametrize("name", MAKERS)
def test_a_trained_file_is_served_by_two_commands(served: Served, name: str) -> None:
    case = served.cases[name]
    row = {str(column): value for column, value in case.rows.head(1).to_dict("records")[0].items()}
    one = served.takt.predict(row, model=name)
    batch = served.takt.predict_batch(case.rows.head(ROWS), model=name)
    found = [row[case.output] for row in [one, *batch]]
    expected = [case.expected[0], *case.expected[:ROWS]]
    if isinstance(expected[0], str):
        assert found == expected
    else:
        assert np.asarray(found) == pytest.approx(np.asarray(expected), rel=1e-4, abs=1e-4)


def test_a_network_over_images_answers_a_jpeg_file(served: Served) -> None:
    url, image = f"{served.takt.url}/models/cnn/predict", photo()
    found = httpx.post(url, content=image, headers={"Content-Type": "image/jpeg"}).raise_for_status().json()
    pixels = np.asarray(Image.open(io.BytesIO(image))).astype(np.float32) / 255
    with torch.inference_mode():
        logits = vision()(torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None])
    expected = torch.softmax(logits, 1)[0].numpy()
    assert found["probabilities"] == pytest.approx(expected, abs=1e-6)
    assert found["prediction"] == STATES[int(expected.argmax())]


def test_the_raw_table_is_a_job_with_unchanged_headers(served: Served) -> None:
    expected = served.cases["pipeline"].expected
    options = "--id-column UDI --keep-columns 'Product ID,Torque [Nm]'"
    served.terminal.types(f".venv/bin/takt submit ai4i.csv -m pipeline {options} -o out.csv")
    with (served.terminal.folder / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [json.loads(row["probabilities"]) for row in rows] == expected
    assert [row["Product ID"] for row in rows] == TABLE["Product ID"].tolist()
    job = served.takt.submit(TABLE, model="pipeline")
    served.takt.wait(job.id)
    assert [row["probabilities"] for row in served.takt.results(job.id)] == expected


def test_the_documentation_has_the_headers(served: Served) -> None:
    document = httpx.get(f"{served.takt.url}/openapi.json").json()
    assert list(document["components"]["schemas"]["PipelineInput"]["properties"]) == FEATURES
